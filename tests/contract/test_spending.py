"""Budgets where a session is set going, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.domain.calls import Limits, session_scope
from ktrdr.domain.errors import SessionActive
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.tables import budgets
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import setup

pytestmark = pytest.mark.anyio

LIMITS = Limits(session_usd=1.0, day_usd=10.0)


def agent(database: Database, **more: Any) -> AgentService:
    return AgentService(database, setup(max_active=2, model="a:b", **{"limits": LIMITS, **more}))


async def set_limits(database: Database) -> dict[str, float]:
    async with database.read() as tx:
        rows = await tx.connection.execute(select(budgets.c.scope, budgets.c.limit_usd))
        return {scope: limit for scope, limit in rows}


async def test_a_session_begins_with_the_budget_it_is_given(database: Database) -> None:
    """Without one it has the setting's. A trigger that is refused leaves no budget."""
    own = await agent(database).trigger(Trigger(TriggerReason.MANUAL, budget_usd=0.25))
    other = await agent(database).trigger(Trigger(TriggerReason.MANUAL))
    with pytest.raises(SessionActive):
        await agent(database).trigger(Trigger(TriggerReason.MANUAL, budget_usd=0.5))
    assert await set_limits(database) == {session_scope(own.operation_id): 0.25}
    async with database.read() as tx:
        assert (await tx.budgets.session(own.operation_id, LIMITS)).limit_usd == 0.25
        assert (await tx.budgets.session(other.operation_id, LIMITS)).limit_usd == 1.0
