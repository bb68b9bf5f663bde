"""Claims this backend's PENDING sessions and campaigns and runs them, one task each."""

from __future__ import annotations

import asyncio
import logging

from ktrdr.agents.campaigns import Means, run_campaign
from ktrdr.agents.language_models import LanguageModels
from ktrdr.agents.loop import run_session
from ktrdr.agents.workbench import Workbench
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import Operation, OperationType, Status
from ktrdr.domain.sessions import GateThresholds
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
DRAIN_SECONDS = 20.0


class SessionSupervisor:
    """Owns the session tasks of one backend; `wake` after a trigger or a resume."""

    def __init__(
        self,
        database: Database,
        instance: str,
        thresholds: GateThresholds,
        catalog: Catalog,
        *,
        holder: str,
        llm: LanguageModels | None = None,
        means: Means | None = None,
    ) -> None:
        """`holder` is who this backend is: it claims as long as the instance's name is its own. Without
        `means` it runs no campaigns."""
        self._database = database
        self._instance = instance
        self._holder = holder
        self._thresholds = thresholds
        self._catalog = catalog
        self._llm = llm
        self._means = means
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_doubt: Operation | None = None  # the database went away while this was claimed

    def wake(self) -> None:
        """Look for PENDING sessions now."""
        self._woken.set()

    async def run(self) -> None:
        """Claim and run until `stop`; the database is asked again and again, nothing is remembered."""
        while not self._stop.is_set():
            self._woken.clear()
            try:
                await self._claim_all()
            except DatabaseUnavailable as outage:
                log.warning("sessions wait for the database: %s", outage.message)
            try:
                await asyncio.wait_for(self._woken.wait(), IDLE_SECONDS)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Have every session write its `shutdown` checkpoint, bounded."""
        self._stop.set()
        if self._llm is not None:
            self._llm.stop()
        self._woken.set()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()

    async def _claim_all(self) -> None:
        await self._settle_doubt()
        kinds = (OperationType.AGENT_RESEARCH, *(() if self._means is None else (OperationType.CAMPAIGN,)))
        async with self._database.read() as tx:
            waiting = [
                one
                for kind in kinds
                for one in await tx.operations.list(status=Status.PENDING, operation_type=kind)
            ]
        for operation in reversed(waiting):  # the list is newest first; sessions start oldest first
            if operation.owner != self._instance:
                continue
            try:
                async with self._database.transaction() as tx:
                    if not await tx.instances.holds(self._instance, self._holder):
                        return  # stopped for long, it has a successor: what that one resumed is not ours
                    claimed = await tx.operations.claim(operation.operation_id, self._instance, None, None)
            except DatabaseUnavailable:
                self._in_doubt = operation
                raise
            if claimed is not None:
                self._start(claimed)

    async def _settle_doubt(self) -> None:
        """A claim may have been committed though its answer was lost: then nobody runs what is RUNNING.

        The look takes the row's lock, and so waits for a commit that the server is still at.
        """
        if self._in_doubt is None:
            return
        async with self._database.transaction() as tx:
            found = await tx.operations.locked(self._in_doubt.operation_id)
            mine = await tx.instances.holds(self._instance, self._holder)
        claimed = found.status is Status.RUNNING and found.attempt == self._in_doubt.attempt + 1
        self._in_doubt = None
        if claimed and mine:
            self._start(found)

    def _start(self, operation: Operation) -> None:
        bench = Workbench(self._database, operation, self._thresholds, self._catalog, self._stop, self._llm)
        if operation.operation_type is OperationType.CAMPAIGN:
            assert self._means is not None
            work, kind = run_campaign(bench, self._means), "campaign"
        else:
            work, kind = run_session(bench), "session"
        task = asyncio.create_task(work, name=f"{kind} {operation.operation_id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s ended unexpectedly", task.get_name(), exc_info=task.exception())
