"""Campaigns that are interrupted, on both databases: the same sessions, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from ktrdr.agents.agent_service import Trigger
from ktrdr.domain.errors import CheckpointIncompatible
from ktrdr.domain.operations import Status
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.tables import checkpoints
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.contract.campaign_stage import Stage, learnt
from tests.contract.support import GATES, get

pytestmark = pytest.mark.anyio

RESTARTED = "Backend restarted - checkpoint available for resume"


class Killed(BaseException):
    """A kill -9: nothing after it is done."""


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, tmp_path)


async def test_a_restart_fails_it_as_it_does_a_session(stage: Stage) -> None:
    """Under other gates it is refused, as each of its sessions would be; forced, so are its sessions."""
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first = f"{campaign_id}.s001"

    await stage.until_begun(first)
    stage.stop.set()
    await running
    assert (await get(stage.database, campaign_id)).status is Status.RUNNING, "a stop leaves the row"
    await stage.restart()
    for one in (campaign_id, first):
        assert (await get(stage.database, one)).error_message == RESTARTED
    stage.stop.clear()
    stage.gates = replace(GATES, min_trades=7)
    with pytest.raises(CheckpointIncompatible, match=r"settings\.min_trades: 0 -> 7"):
        await stage.resumes.resume(campaign_id, force=False)
    await stage.resumes.resume(campaign_id, force=True)
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED
    async with stage.database.read() as tx:
        [row] = (await tx.resumes.of([first]))[first]
    assert (row.forced, row.automatic) == (True, False)


async def test_an_automatic_resume_takes_campaigns_and_sessions_up(stage: Stage) -> None:
    """The campaign needs no room of its own, and finds its session resumed already."""
    stage.max_active = 1
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first = f"{campaign_id}.s001"

    await stage.until_begun(first)
    running.cancel()
    await asyncio.wait([running])
    await stage.restart()
    assert await stage.resumes.resume_interrupted() == [campaign_id, first]
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED


async def test_a_campaign_is_resumed_where_there_is_no_room_for_all_sessions(stage: Stage) -> None:
    """It waits for room by itself: sessions that are older and fill it are no reason to leave it."""
    stage.max_active = 3
    older = [(await stage.agent.trigger(Trigger(TriggerReason.MANUAL))).operation_id for _ in range(2)]
    campaign_id = await stage.begin(sessions=1)
    await stage.restart()
    stage.max_active = 1
    assert await stage.resumes.resume_interrupted() == [campaign_id, older[0]]
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED


async def test_a_session_that_can_not_be_resumed_is_left_and_the_rest_goes_on(stage: Stage) -> None:
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first = f"{campaign_id}.s001"

    await stage.until_begun(first)
    running.cancel()
    await asyncio.wait([running])
    await stage.restart()
    async with stage.database.transaction() as tx:
        damaged = update(checkpoints).where(checkpoints.c.operation_id == first).values(state_sha256="0" * 64)
        await tx.connection.execute(damaged)
    await stage.resumes.resume(campaign_id, force=False)
    async with stage.living():
        done = await stage.run(campaign_id)
    assert done.result is not None
    assert (done.result["failed"], done.result["completed"]) == (1, 1)
    assert (await get(stage.database, first)).error_message == RESTARTED


class Mortal(Database):
    """A database whose user is killed at its n-th commit: before it, or after it."""

    lives: int | None = None
    before: bool = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        last = False
        async with super().transaction() as tx:
            yield tx
            if self.lives is not None:
                self.lives -= 1
                last = self.lives == 0
                if last and self.before:
                    raise Killed
        if last:
            raise Killed


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("parallel", [1, 2])
async def test_killed_at_any_commit_it_has_the_same_sessions(
    stage: Stage, database_url: str, before: bool, parallel: int
) -> None:
    """Session by session: ids, seeds and what each learns from are those of a campaign left alone."""
    wanted = {"sessions": 4, "parallel": parallel}
    whole = await stage.begin(**wanted)
    async with stage.living():
        await stage.run(whole)
    expected = await learnt(stage.database, whole)
    mortal = Mortal(database_url)
    doomed = replace(stage, database=mortal)
    try:
        campaign_id = await stage.begin(**wanted)
        earlier = (await get(stage.database, campaign_id)).request["known_trials"]
        assert len(earlier) == 4
        kills = 0
        for commits in range(1, 40):
            mortal.lives, mortal.before = 2 + commits % 4, before
            try:
                async with stage.living():
                    done = await doomed.run(campaign_id)
            except Killed:
                kills += 1
                mortal.lives = None
                await stage.restart()
                async with stage.database.transaction() as tx:
                    resumable = (await tx.operations.get(campaign_id)).status is Status.FAILED
                if not resumable:
                    break
                await stage.resumes.resume(campaign_id, force=False)
            else:
                assert done.status is Status.COMPLETED
                break
    finally:
        await mortal.close()
    assert kills >= 3
    assert (await get(stage.database, campaign_id)).status is Status.COMPLETED
    found = await learnt_beyond(stage.database, campaign_id, earlier)
    assert found == expected


async def learnt_beyond(
    database: Database, campaign_id: str, earlier: list[int]
) -> list[tuple[int, list[int]]]:
    """The same, of a campaign that knew earlier trials: without those."""
    async with database.read() as tx:
        for one in await tx.campaigns.members(campaign_id):
            assert one.operation.request["known_trials"][: len(earlier)] == earlier
        numbers = {
            trial: number
            for number, trial in enumerate(await tx.campaigns.trials(campaign_id, up_to=99), start=1)
        }
        return [
            (
                one.operation.request["seed"],
                [numbers[known] for known in one.operation.request["known_trials"][len(earlier) :]],
            )
            for one in await tx.campaigns.members(campaign_id)
        ]
