"""Campaigns on both databases: the same sessions in the same order, whatever happens meanwhile.

The loop, its services and the database are real. What ends a session here is a row written as the session
loop writes it; whole sessions are in tests/kills/test_campaigns.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.campaigns import Means, run_campaign
from ktrdr.agents.workbench import Workbench
from ktrdr.api.services.campaigns_service import CampaignsService, CampaignView, Wanted
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.campaigns import session_seed
from ktrdr.domain.errors import CampaignNotFound, CheckpointIncompatible, InvalidInput
from ktrdr.domain.operations import Event, Operation, OperationType, Status
from ktrdr.domain.sessions import GateThresholds, Phase, TriggerReason
from ktrdr.persistence.tables import checkpoints
from ktrdr.persistence.unit_of_work import Database, Transaction
from ktrdr.workers.executors.local import LocalExecutor
from tests.contract.support import claim, get

pytestmark = pytest.mark.anyio

THRESHOLDS = GateThresholds(0.0, -10.0, 1.0, 0)
SEED = 7
SECONDS = 30.0
RESTARTED = "Backend restarted - checkpoint available for resume"
DONE = (Event.COMPLETE, None, None)
Ends = Mapping[int, tuple[Event, str | None, str | None]]


class Killed(BaseException):
    """A kill -9: nothing after it is done."""


@dataclass
class Stage:
    """A backend's services over one database, and sessions that end as they are told to."""

    database: Database
    home: Path
    max_active: int = 2
    gates: GateThresholds = THRESHOLDS
    ends: dict[str, tuple[Event, str | None, str | None]] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def _session(self) -> Any:
        return {
            "instance": "me",
            "max_active": self.max_active,
            "thresholds": self.gates,
            "catalog": Catalog(None),
            "wake": lambda: None,
        }

    @property
    def campaigns(self) -> CampaignsService:
        return CampaignsService(self.database, **self._session())

    @property
    def agent(self) -> AgentService:
        return AgentService(self.database, **self._session())

    @property
    def resumes(self) -> ResumesService:
        return ResumesService(self.database, artifacts=self.home, **self._session())

    @property
    def operations(self) -> OperationsService:
        executor = LocalExecutor(self.home / "logs", {}, 1)
        return OperationsService(self.database, executor=executor, wake=lambda: None)

    async def begin(self, **wanted: Any) -> str:
        started = await self.campaigns.start(Wanted(**{"sessions": 3, "seed": SEED, **wanted}))
        return started.operation_id

    async def run(self, campaign_id: str) -> Operation:
        """Claim the campaign and run it until it ends."""
        async with self.database.transaction() as tx:
            claimed = await tx.operations.claim(campaign_id, "me", None, None)
        assert claimed is not None
        bench = Workbench(self.database, claimed, self.gates, Catalog(None), self.stop)
        means = Means("me", self.max_active, lambda: None, self.resumes.resume, look_seconds=0.01)
        async with asyncio.timeout(SECONDS):
            await run_campaign(bench, means)
        return await get(self.database, campaign_id)

    async def end(self, operation_id: str, how: tuple[Event, str | None, str | None] = DONE) -> None:
        """End a session as its loop would: COMPLETE leaves a trial with a Sharpe ratio of its own."""
        if (await get(self.database, operation_id)).status is Status.PENDING:
            assert await claim(self.database, operation_id, "me", None) is not None
        event, code, message = how
        async with self.database.transaction() as tx:
            operation = await tx.operations.get(operation_id)
            await tx.operations.finish(
                operation_id, operation.attempt, event, error_code=code, error_message=message
            )
            if event is Event.COMPLETE:
                await _found(tx, operation_id)

    async def live(self) -> None:
        """End every session that waits or runs, the oldest first, as `ends` says."""
        while True:
            async with self.database.read() as tx:
                active = await tx.operations.active_sessions()
            for one in active:
                await self.end(one.operation_id, self.ends.get(one.operation_id[-4:], DONE))
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.live())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def restart(self) -> None:
        async with self.database.transaction() as tx:
            await tx.orphans.fail_backend_local("me")

    async def view(self, campaign_id: str) -> CampaignView:
        return await self.campaigns.view(campaign_id)


async def _found(tx: Transaction, operation_id: str) -> None:
    session = await tx.sessions.by_operation(operation_id)
    assert session is not None
    done = replace(
        session,
        phase=Phase.COMPLETED,
        strategy_config={"name": f"of seed {session.seed}"},
        backtest_result={"metrics": {"sharpe": session.seed / 2**31, "trades": 12}},
        assessment={"verdict": "REJECTED"},
        result_fingerprint=f"{session.seed:064}",
    )
    await tx.sessions.update(done)
    await tx.ledger.record(done)
    await tx.checkpoints.delete(operation_id)


async def learnt(database: Database, campaign_id: str) -> list[tuple[int, list[int]]]:
    """Of each session its seed, and the numbers of the sessions whose trials its designer is shown."""
    async with database.read() as tx:
        members = await tx.campaigns.members(campaign_id)
        trial = {}
        for number in range(1, len(members) + 1):
            upto = await tx.campaigns.trials(campaign_id, up_to=number)
            trial |= {one: number for one in upto if one not in trial}
    return [
        (one.operation.request["seed"], [trial[known] for known in one.operation.request["known_trials"]])
        for one in members
    ]


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await look():
            await asyncio.sleep(0.01)


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

    async def begun() -> bool:
        async with stage.database.read() as tx:
            return await tx.operations.find(second) is not None

    await until(begun)
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

    async def begun() -> bool:
        async with stage.database.read() as tx:
            return await tx.operations.find(f"{campaign_id}.s001") is not None

    await until(begun)
    await stage.operations.cancel(f"{campaign_id}.s001")
    async with stage.living():
        done = await running
    assert done.result is not None
    assert (done.result["cancelled"], done.result["completed"]) == (1, 1)


async def test_a_restart_fails_it_as_it_does_a_session(stage: Stage) -> None:
    """Under other gates it is refused, as each of its sessions would be; forced, so are its sessions."""
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first = f"{campaign_id}.s001"

    async def begun() -> bool:
        async with stage.database.read() as tx:
            return await tx.operations.find(first) is not None

    await until(begun)
    stage.stop.set()
    await running
    assert (await get(stage.database, campaign_id)).status is Status.RUNNING, "a stop leaves the row"
    await stage.restart()
    for one in (campaign_id, first):
        assert (await get(stage.database, one)).error_message == RESTARTED
    stage.stop.clear()
    stage.gates = replace(THRESHOLDS, min_trades=7)
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

    async def begun() -> bool:
        async with stage.database.read() as tx:
            return await tx.operations.find(first) is not None

    await until(begun)
    running.cancel()
    await asyncio.wait([running])
    await stage.restart()
    assert await stage.resumes.resume_interrupted() == [campaign_id, first]
    async with stage.living():
        assert (await stage.run(campaign_id)).status is Status.COMPLETED


async def test_a_session_that_can_not_be_resumed_is_left_and_the_rest_goes_on(stage: Stage) -> None:
    campaign_id = await stage.begin(sessions=2)
    running = asyncio.create_task(stage.run(campaign_id))
    first = f"{campaign_id}.s001"

    async def begun() -> bool:
        async with stage.database.read() as tx:
            return await tx.operations.find(first) is not None

    await until(begun)
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
    view = await stage.view(campaign_id)
    assert [one.operation.operation_type for one in view.board] == [OperationType.AGENT_RESEARCH] * 4


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
