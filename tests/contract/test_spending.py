"""Budgets where a session or a campaign is set going, on both databases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.workbench import Step, Workbench
from ktrdr.api.services.forks_service import ForksService
from ktrdr.api.services.forks_service import Wanted as WantedFork
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.calls import DAY, Limits, NewCall, campaign_scope, session_scope
from ktrdr.domain.errors import BudgetExhausted, SessionActive
from ktrdr.domain.operations import Event, Status
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason
from ktrdr.persistence.tables import budgets, metadata
from ktrdr.persistence.unit_of_work import Database
from tests.contract.campaign_stage import Stage
from tests.contract.support import GATES, claim, get, setup

pytestmark = pytest.mark.anyio

LIMITS = Limits(session_usd=1.0, day_usd=10.0)


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, tmp_path, limits=LIMITS)


def agent(database: Database) -> AgentService:
    return AgentService(database, setup(max_active=2, limits=LIMITS))


def resumes(database: Database, limits: Limits | None = LIMITS) -> ResumesService:
    return ResumesService(database, setup(max_active=9, limits=limits), Path("nowhere"))


async def rows(database: Database) -> Mapping[str, list[Any]]:
    """Every row of every table."""
    async with database.read() as tx:
        return {
            table.name: [tuple(row) for row in await tx.connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


async def spend(database: Database, operation_id: str, usd: float) -> None:
    async with database.transaction() as tx:
        await tx.calls.reserve(NewCall(operation_id, 1, "design", 1, 1, "0" * 64, "m", usd))


async def allow(database: Database, scope: str, usd: float) -> None:
    async with database.transaction() as tx:
        await tx.budgets.set(scope, usd)


async def interrupted(database: Database, **fields: Any) -> AgentSession:
    """A session whose backend died when it had come so far."""
    session = await agent(database).trigger(Trigger(TriggerReason.MANUAL, seed=1))
    async with database.transaction() as tx:
        operation = await tx.operations.claim(session.operation_id, "me", None, None)
    assert operation is not None
    session = replace(session, **fields)
    await Workbench(database, operation, GATES, Catalog(None), asyncio.Event()).commit(Step(session))
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local("me")
    return session


async def test_a_session_begins_with_the_budget_it_is_given(database: Database) -> None:
    """Without one it has the setting's. A trigger that is refused leaves no budget."""
    own = await agent(database).trigger(Trigger(TriggerReason.MANUAL, budget_usd=0.25))
    other = await agent(database).trigger(Trigger(TriggerReason.MANUAL))
    with pytest.raises(SessionActive):
        await agent(database).trigger(Trigger(TriggerReason.MANUAL, budget_usd=0.5))
    async with database.read() as tx:
        found = (await tx.connection.execute(select(budgets.c.scope, budgets.c.limit_usd))).all()
        assert [tuple(row) for row in found] == [(session_scope(own.operation_id), 0.25)]
        assert (await tx.budgets.session(own.operation_id, LIMITS)).limit_usd == 0.25
        assert (await tx.budgets.session(other.operation_id, LIMITS)).limit_usd == 1.0


@pytest.mark.parametrize("phase", [Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING])
async def test_a_session_that_has_spent_its_budget_is_not_resumed(database: Database, phase: Phase) -> None:
    """Its opinion is before it in every phase. The refusal changes nothing; raised, it goes on."""
    session = await interrupted(database, phase=phase)
    await spend(database, session.operation_id, 1.0)
    before = await rows(database)
    number = session.session_id
    said = (
        f"The budget of session {number} of $1.00 is spent ($1.0000). "
        f"Raise it (ktrdr research budget --session {number} --set USD)."
    )
    with pytest.raises(BudgetExhausted) as refused:
        await resumes(database).resume(session.operation_id, force=True)
    assert refused.value.message == said
    preview = await resumes(database).preview(session.operation_id, force=False)
    assert preview.obstacle is not None
    assert (preview.obstacle.code, preview.obstacle.message) == ("BUDGET_EXHAUSTED", said)
    assert preview.checkpoint is not None
    assert await rows(database) == before

    await allow(database, session_scope(session.operation_id), 1.01)  # too small for a call, and not spent
    assert (await resumes(database).preview(session.operation_id, force=False)).obstacle is None
    await resumes(database).resume(session.operation_id, force=False)
    assert (await get(database, session.operation_id)).status is Status.PENDING


async def test_a_session_that_asks_no_model_is_resumed_whatever_is_spent(database: Database) -> None:
    """Its holdout is open, so its opinion is recorded; or there is no model."""
    opened = await interrupted(database, phase=Phase.ASSESSING, holdout_operation_id="an.exam")
    other = await interrupted(database)
    for session in (opened, other):
        await spend(database, session.operation_id, 5.0)
    assert (await resumes(database).preview(opened.operation_id, force=False)).obstacle is None
    await resumes(database).resume(opened.operation_id, force=False)
    with pytest.raises(BudgetExhausted):
        await resumes(database).resume(other.operation_id, force=False)
    await resumes(database, limits=None).resume(other.operation_id, force=False)


async def test_the_day_is_asked_of_a_resume_a_fork_and_a_campaign(stage: Stage) -> None:
    database = stage.database
    session = await interrupted(database, brief="b")
    await spend(database, session.operation_id, 0.5)
    await allow(database, DAY, 0.5)
    before = await rows(database)
    forks = ForksService(database, stage.setup, stage.home)
    wanted = WantedFork(session.session_id, Phase.DESIGNING, {"seed": 2})
    day = re.escape(
        "The day's budget of $0.50 is spent ($0.5000). Raise it (ktrdr research budget --day USD)"
    )
    with pytest.raises(BudgetExhausted, match=day):
        await resumes(database).resume(session.operation_id, force=False)
    with pytest.raises(BudgetExhausted, match=day):
        await forks.fork(wanted)
    with pytest.raises(BudgetExhausted, match=day):
        await stage.begin(budget_usd=3.0)
    assert await rows(database) == before
    await ForksService(database, setup(), stage.home).fork(wanted)  # it thinks offline
    await allow(database, DAY, 0.6)
    await forks.fork(wanted)
    await stage.begin(budget_usd=3.0)


async def stopped(stage: Stage, **wanted: Any) -> str:
    """A campaign that its second session has stopped."""
    stage.ends["s002"] = (Event.FAIL, "BUDGET_EXHAUSTED", "no money")
    campaign_id = await stage.begin(**wanted)
    async with stage.living():
        assert (await stage.run(campaign_id)).error_code == "BUDGET_EXHAUSTED"
    stage.ends.clear()
    return campaign_id


async def test_a_campaign_that_has_spent_its_budget_is_not_resumed(stage: Stage) -> None:
    """Nor is a session of it alone; raised, the campaign goes on to its end."""
    campaign_id = await stopped(stage, budget_usd=0.3)
    await spend(stage.database, f"{campaign_id}.s001", 0.1)
    await spend(stage.database, f"{campaign_id}.s002", 0.2)
    before = await rows(stage.database)
    said = re.escape(
        "The campaign's budget of $0.30 is spent ($0.3000). "
        f"Raise it (ktrdr research budget --campaign {campaign_id} --set USD)."
    )
    for one in (campaign_id, f"{campaign_id}.s002"):
        with pytest.raises(BudgetExhausted, match=f"{said}$"):
            await stage.resumes.resume(one, force=False)
        assert isinstance((await stage.resumes.preview(one, force=False)).obstacle, BudgetExhausted)
    assert await rows(stage.database) == before
    await allow(stage.database, campaign_scope(campaign_id), 0.4)
    await stage.resumes.resume(campaign_id, force=False)
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED
    view = await stage.view(campaign_id)
    assert view.spending.limit_usd == 0.4
    assert view.spending.spent_usd == pytest.approx(0.3)


async def test_a_campaign_asks_for_the_session_that_it_takes_up(stage: Stage) -> None:
    """Of the last one too, when nothing is to begin; one that has ended has spent what it likes."""
    campaign_id = await stopped(stage, sessions=2)
    session = await _session(stage.database, f"{campaign_id}.s002")
    await spend(stage.database, f"{campaign_id}.s001", 7.0)
    await spend(stage.database, session.operation_id, 1.0)
    with pytest.raises(BudgetExhausted, match=f"The budget of session {session.session_id} of"):
        await stage.resumes.resume(campaign_id, force=False)
    async with stage.database.transaction() as tx:  # as when it had stopped in its exam
        await tx.sessions.update(replace(session, phase=Phase.ASSESSING, holdout_operation_id="an.exam"))
    await stage.resumes.resume(campaign_id, force=False)


@pytest.mark.parametrize("scope", ["day", "campaign"])
async def test_a_campaign_asks_for_the_sessions_that_are_to_begin(stage: Stage, scope: str) -> None:
    """It died before its first one."""
    campaign_id = await stage.begin()
    await claim(stage.database, campaign_id, "me", None)
    await stage.restart()
    await allow(stage.database, DAY if scope == "day" else campaign_scope(campaign_id), 0.0)
    with pytest.raises(BudgetExhausted, match=f"The {scope}'s budget"):
        await stage.resumes.resume(campaign_id, force=False)
    stage.limits = None
    await stage.resumes.resume(campaign_id, force=False)


async def test_a_budget_spent_since_the_resume_stops_the_campaign_again(stage: Stage) -> None:
    """The session is not counted as ended: raised, the campaign goes on with it."""
    campaign_id = await stopped(stage)
    await stage.resumes.resume(campaign_id, force=False)
    await spend(stage.database, f"{campaign_id}.s002", 1.0)
    again = await stage.run(campaign_id)
    assert (again.status, again.error_code) == (Status.FAILED, "BUDGET_EXHAUSTED")
    assert "session 2 could not go on: The budget of session" in (again.error_message or "")
    await allow(stage.database, session_scope(f"{campaign_id}.s002"), 2.0)
    await stage.resumes.resume(campaign_id, force=False)
    async with stage.living():
        done = await stage.run(campaign_id)
    assert done.result is not None
    assert (done.status, done.result["completed"]) == (Status.COMPLETED, 3)


async def _session(database: Database, operation_id: str) -> AgentSession:
    async with database.read() as tx:
        found = await tx.sessions.by_operation(operation_id)
    assert found is not None
    return found
