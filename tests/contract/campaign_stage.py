"""A backend's services over one database, for campaigns, and sessions that end as they are told to.

The loop, its services and the database are real. What ends a session here is a row written as the session
loop writes it; whole sessions are in tests/kills/test_campaigns.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ktrdr.agents.agent_service import AgentService
from ktrdr.agents.campaigns import Means, run_campaign
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.workbench import Workbench
from ktrdr.api.services.campaigns_service import CampaignsService, CampaignView, Wanted
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.calls import Limits
from ktrdr.domain.operations import Event, Operation, Status
from ktrdr.domain.sessions import GateThresholds, Phase
from ktrdr.persistence.unit_of_work import Database, Transaction
from ktrdr.workers.executors.local import LocalExecutor
from tests.contract.support import GATES, claim, get, setup

SEED = 7
SECONDS = 30.0
End = tuple[Event, str | None, str | None]
DONE: End = (Event.COMPLETE, None, None)


@dataclass
class Stage:
    """A backend's services over one database, and sessions that end as they are told to."""

    database: Database
    home: Path
    max_active: int = 2
    gates: GateThresholds = GATES
    limits: Limits | None = None  # as where a model is asked
    ends: dict[str, End] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def setup(self) -> SessionSetup:
        return setup(max_active=self.max_active, thresholds=self.gates, limits=self.limits)

    @property
    def campaigns(self) -> CampaignsService:
        return CampaignsService(self.database, self.setup)

    @property
    def agent(self) -> AgentService:
        return AgentService(self.database, self.setup)

    @property
    def resumes(self) -> ResumesService:
        return ResumesService(self.database, self.setup, self.home)

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
        means = Means(self.setup, self.resumes.resume, look_seconds=0.01)
        async with asyncio.timeout(SECONDS):
            await run_campaign(bench, means)
        return await get(self.database, campaign_id)

    async def end(self, operation_id: str, how: End = DONE) -> None:
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

    async def until_begun(self, operation_id: str) -> None:
        async def begun() -> bool:
            async with self.database.read() as tx:
                return await tx.operations.find(operation_id) is not None

        await until(begun)

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
        trial: dict[int, int] = {}
        for number in range(1, len(members) + 1):
            upto = await tx.campaigns.trials(campaign_id, up_to=number)
            trial |= {one: number for one in upto if one not in trial}
    return [
        (one.operation.request["seed"], [trial[known] for known in one.operation.request["known_trials"]])
        for one in members
    ]


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await look():
            await asyncio.sleep(0.01)
