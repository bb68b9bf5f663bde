"""Campaigns on both databases: sessions that learn in turn, and what ends one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ktrdr.agents.agent_service import Trigger
from ktrdr.domain.campaigns import session_seed
from ktrdr.domain.errors import CampaignNotFound, InvalidInput
from ktrdr.domain.operations import Event, Status
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.unit_of_work import Database
from tests.contract.campaign_stage import SEED, Stage, learnt, until
from tests.contract.support import claim, get

pytestmark = pytest.mark.anyio


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, tmp_path)


async def test_each_session_learns_from_those_before_it(stage: Stage) -> None:
    """Seeds are derived from the campaign's; the board is by validation Sharpe; no checkpoint is left."""
    campaign_id = await stage.begin(sessions=4)
    async with stage.living():
        done = await stage.run(campaign_id)
    seeds = [session_seed(SEED, number) for number in (1, 2, 3, 4)]
    assert await learnt(stage.database, campaign_id) == [
        (seeds[0], []),
        (seeds[1], [1]),
        (seeds[2], [1, 2]),
        (seeds[3], [1, 2, 3]),
    ]
    view = await stage.view(campaign_id)
    assert [one.rank for one in view.board] == [1, 2, 3, 4]
    assert [one.session.seed for one in view.board] == sorted(seeds, reverse=True)
    assert (view.trials, view.openings and view.openings.used) == (4, 0)
    assert (done.status, done.result and done.result["completed"]) == (Status.COMPLETED, 4)
    async with stage.database.read() as tx:
        assert await tx.checkpoints.get(campaign_id) is None
        assert await tx.campaigns.of(f"{campaign_id}.s004") == campaign_id


async def test_what_a_session_learns_does_not_depend_on_who_ends_first(stage: Stage) -> None:
    """Two at once: the third waits for the first, though the second is done; trials come in their order."""
    campaign_id = await stage.begin(sessions=4, parallel=2)
    first, second, third = (f"{campaign_id}.s00{number}" for number in (1, 2, 3))
    running = asyncio.create_task(stage.run(campaign_id))

    async def begun() -> int:
        async with stage.database.read() as tx:
            return len(await tx.campaigns.members(campaign_id))

    async def two() -> bool:
        return await begun() == 2

    async def noted() -> bool:
        return "1 of 4" in (await get(stage.database, campaign_id)).progress.message

    await until(two)
    await stage.end(second)
    await until(noted)
    for _ in range(5):
        await asyncio.sleep(0.02)
        assert await begun() == 2, "the third began before the first had ended"
    await stage.end(first)

    async def fourth() -> bool:
        return await begun() == 4

    await until(fourth)
    async with stage.living():
        assert (await running).status is Status.COMPLETED
    assert [known for _, known in await learnt(stage.database, campaign_id)] == [[], [], [1], [1, 2]]
    assert (await get(stage.database, third)).request["known_trials"] == [2], (
        "the first's trial is the second row"
    )


async def test_trials_before_the_campaign_are_known_and_those_beside_it_are_not(stage: Stage) -> None:
    before = await stage.agent.trigger(Trigger(TriggerReason.MANUAL, seed=1))
    await stage.end(before.operation_id)
    campaign_id = await stage.begin(sessions=2)
    beside = await stage.agent.trigger(Trigger(TriggerReason.MANUAL, seed=2))
    await stage.end(beside.operation_id)
    async with stage.living():
        await stage.run(campaign_id)
    asked = [
        (await get(stage.database, f"{campaign_id}.s00{number}")).request["known_trials"] for number in (1, 2)
    ]
    assert asked == [[1], [1, 3]]


async def test_a_campaign_waits_for_room(stage: Stage) -> None:
    """Another session holds the capacity: nothing fails, the reason is shown, and it goes on."""
    stage.max_active = 1
    campaign_id = await stage.begin(sessions=1)
    other = await stage.agent.trigger(Trigger(TriggerReason.MANUAL, seed=1))
    running = asyncio.create_task(stage.run(campaign_id))

    async def waits() -> bool:
        return "1 of 1 sessions are active" in (await get(stage.database, campaign_id)).progress.message

    await until(waits)
    await stage.end(other.operation_id)
    async with stage.living():
        assert (await running).status is Status.COMPLETED


async def test_more_at_once_than_the_backend_runs_is_refused(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match="KTRDR_MAX_ACTIVE_SESSIONS=3"):
        await stage.begin(parallel=3)
    async with stage.database.read() as tx:
        assert await tx.operations.list() == []
    with pytest.raises(CampaignNotFound):
        await stage.view("campaign_none")


async def test_a_session_that_fails_is_an_end_and_not_the_campaigns(stage: Stage) -> None:
    """Its error is on the board, without a rank; the next ones don't wait for it."""
    stage.ends["s002"] = (Event.FAIL, "TRAINING_FAILED", "loss is nan")
    campaign_id = await stage.begin()
    async with stage.living():
        done = await stage.run(campaign_id)
    assert done.status is Status.COMPLETED
    assert done.result is not None
    assert (done.result["completed"], done.result["failed"]) == (2, 1)
    assert [known for _, known in await learnt(stage.database, campaign_id)] == [[], [1], [1]]
    last = (await stage.view(campaign_id)).board[-1]
    assert (last.rank, last.number, last.operation.error_message) == (None, 2, "loss is nan")


async def test_a_budget_that_is_used_up_stops_the_campaign_at_that_session(stage: Stage) -> None:
    """Resumed, it goes on with the same session; none is skipped."""
    stage.ends["s002"] = (Event.FAIL, "BUDGET_EXHAUSTED", "no money")
    campaign_id = await stage.begin(budget_usd=1.5)
    async with stage.living():
        stopped = await stage.run(campaign_id)
    assert (stopped.status, stopped.error_code) == (Status.FAILED, "BUDGET_EXHAUSTED")
    assert "session 2 could not go on: no money" in (stopped.error_message or "")
    view = await stage.view(campaign_id)
    assert (view.spending.limit_usd, view.spending.spent_usd, len(view.board)) == (1.5, 0.0, 2)
    stage.ends.clear()
    await stage.resumes.resume(campaign_id, force=False)
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED
    assert (await get(stage.database, f"{campaign_id}.s002")).attempt == 2
    assert [known for _, known in await learnt(stage.database, campaign_id)] == [[], [1], [1, 2]]


async def test_a_cancel_stops_its_sessions_and_a_resume_takes_them_up(stage: Stage) -> None:
    campaign_id = await stage.begin(parallel=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first, second = f"{campaign_id}.s001", f"{campaign_id}.s002"

    await stage.until_begun(second)
    await claim(stage.database, first, "me", None)
    await stage.operations.cancel(campaign_id)

    async def asked() -> bool:
        return (await get(stage.database, first)).cancel_requested_at is not None

    await until(asked)
    await stage.end(first, (Event.CANCEL, None, "Cancelled - checkpoint saved"))
    ended = await running
    assert (ended.status, ended.error_message) == (Status.CANCELLED, "Cancelled - checkpoint saved")
    assert (await get(stage.database, second)).status is Status.CANCELLED
    preview = await stage.resumes.preview(campaign_id, force=False)
    assert preview.obstacle is None
    assert preview.plan is not None
    assert preview.plan.redone == (
        "session 1 goes on at its own checkpoint",
        "session 2 goes on at its own checkpoint",
        "session 3 begins",
    )
    await stage.resumes.resume(campaign_id, force=False)
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED
    assert [(await get(stage.database, one)).attempt for one in (first, second)] == [2, 1]


async def test_a_session_that_a_user_cancelled_is_left_alone(stage: Stage) -> None:
    """While the campaign runs, a session's cancel is that session's end."""
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))

    await stage.until_begun(f"{campaign_id}.s001")
    await stage.operations.cancel(f"{campaign_id}.s001")
    async with stage.living():
        done = await running
    assert done.result is not None
    assert (done.result["cancelled"], done.result["completed"]) == (1, 1)
