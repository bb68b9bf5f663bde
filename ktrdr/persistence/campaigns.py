"""Campaigns in the database, and which sessions are theirs."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.campaigns import Campaign
from ktrdr.domain.errors import CampaignNotFound
from ktrdr.domain.operations import Operation
from ktrdr.domain.sessions import AgentSession
from ktrdr.persistence.sessions import as_session
from ktrdr.persistence.tables import (
    budgets,
    campaign_sessions,
    campaigns,
    db_now,
    llm_calls,
    operations,
    sessions,
    trials,
)
from ktrdr.persistence.transitions import as_operation

_columns = campaigns.c
_own = campaign_sessions.c


@dataclass(frozen=True)
class Member:
    """A session of a campaign, by its number, as it is now."""

    number: int
    operation: Operation


@dataclass(frozen=True)
class Spending:
    """What a campaign may spend, and what its sessions' calls have come to or were reserved at."""

    limit_usd: float | None
    spent_usd: float


class Campaigns:
    """The rows of `campaigns` and `campaign_sessions`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, operation_id: str, *, sessions: int, parallel: int, budget_usd: float | None
    ) -> None:
        """A campaign without sessions; the caller's transaction has its operation."""
        await self._connection.execute(
            insert(campaigns).values(
                operation_id=operation_id, sessions=sessions, parallel=parallel, created_at=db_now()
            )
        )
        if budget_usd is not None:
            await self._connection.execute(
                insert(budgets).values(scope=_scope(operation_id), limit_usd=budget_usd, updated_at=db_now())
            )

    async def begun(self, campaign_id: str, number: int, operation_id: str) -> None:
        """A session is the campaign's; the caller's transaction creates it."""
        await self._connection.execute(
            insert(campaign_sessions).values(
                campaign_id=campaign_id, number=number, operation_id=operation_id
            )
        )

    async def get(self, campaign_id: str) -> Campaign:
        """Raises CampaignNotFound."""
        query = select(campaigns).where(_columns.operation_id == campaign_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise CampaignNotFound(campaign_id)
        return Campaign(**row)

    async def list(self, limit: int) -> builtins.list[Campaign]:
        """Newest first."""
        query = (
            select(campaigns).order_by(_columns.created_at.desc(), _columns.operation_id.desc()).limit(limit)
        )
        return [Campaign(**row) for row in (await self._connection.execute(query)).mappings()]

    async def of(self, session_operation_id: str) -> str | None:
        """The campaign that a session belongs to."""
        query = select(_own.campaign_id).where(_own.operation_id == session_operation_id)
        found: str | None = await self._connection.scalar(query)
        return found

    async def members(self, campaign_id: str, *, above: int = 0) -> builtins.list[Member]:
        """The campaign's sessions by number, those above a number only."""
        query = _joined(select(operations, _own.number), operations.c.operation_id, campaign_id)
        rows = (await self._connection.execute(query.where(_own.number > above))).mappings()
        return [Member(row["number"], as_operation(_without_number(row))) for row in rows]

    async def sessions(self, campaign_id: str) -> builtins.list[AgentSession]:
        """What the campaign's sessions know, by number."""
        query = _joined(select(sessions), sessions.c.operation_id, campaign_id)
        return [as_session(row) for row in (await self._connection.execute(query)).mappings()]

    async def trials(self, campaign_id: str, *, up_to: int) -> builtins.list[int]:
        """The ids of the trials that the sessions up to a number came to, in the order of the sessions."""
        query = _joined(select(trials.c.trial_id), trials.c.operation_id, campaign_id)
        return [*(await self._connection.execute(query.where(_own.number <= up_to))).scalars()]

    async def spending(self, campaign_id: str) -> Spending:
        """Its budget, and what was spent of it."""
        limit = await self._connection.scalar(
            select(budgets.c.limit_usd).where(budgets.c.scope == _scope(campaign_id))
        )
        spent = await self._connection.scalar(
            select(func.sum(func.coalesce(llm_calls.c.cost_usd, llm_calls.c.worst_usd)))
            .join(campaign_sessions, _own.operation_id == llm_calls.c.operation_id)
            .where(_own.campaign_id == campaign_id)
        )
        return Spending(limit, float(spent or 0.0))


def _joined(query: Any, operation_id: Any, campaign_id: str) -> Any:
    return (
        query.join(campaign_sessions, _own.operation_id == operation_id)
        .where(_own.campaign_id == campaign_id)
        .order_by(_own.number)
    )


def _without_number(row: RowMapping) -> Any:
    return {name: value for name, value in row.items() if name != "number"}


def _scope(campaign_id: str) -> str:
    return f"campaign:{campaign_id}"
