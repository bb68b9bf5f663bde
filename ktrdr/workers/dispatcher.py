"""Starts PENDING worker operations in their turn, and ends those whose worker is gone or will not stop.

It judges by what an engine sees; `leases.py` judges what no engine can see.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from ktrdr.domain.errors import DatabaseUnavailable, ExecutorUnavailable, StepFailed
from ktrdr.domain.operations import WORKER_LEASE_SECONDS, Operation
from ktrdr.persistence.orphans import Orphaned
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.ages import Ages
from ktrdr.workers.executors.executor import KILLED, OperationExecutor, Presence, Sighting

log = logging.getLogger(__name__)

BATCH = 100
LOG_TAIL_BYTES = 2000
TERMINATE_SHARE = 0.2  # of the grace period: then SIGTERM, for a worker that can't read its flag


class Dispatcher:
    """One loop over the database's rows. What it remembers is how long something has been waited for."""

    def __init__(
        self, database: Database, executor: OperationExecutor, *, grace_seconds: float, wait_seconds: float
    ) -> None:
        self._database = database
        self._executor = executor
        self._grace_seconds = grace_seconds
        self._wait_seconds = wait_seconds
        self._unavailable_since: float | None = None
        self._asked: Ages[tuple[str, int]] = Ages()  # to stop: an operation's attempt
        self._starting: Ages[tuple[str, int]] = Ages()  # an operation's revision
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()

    def wake(self) -> None:
        """Look for PENDING operations now."""
        self._woken.set()

    async def run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            try:
                await self.tick()
            except DatabaseUnavailable as outage:
                log.warning("the dispatcher waits for the database: %s", outage.message)
            try:
                await asyncio.wait_for(self._woken.wait(), self._executor.poll_seconds)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End the loop; the workers go on."""
        self._stop.set()
        self._woken.set()

    async def tick(self) -> None:
        """Collect, reap, stop, look after what is starting, submit: once."""
        await self._executor.collect()
        await self.reap()
        await self._stop_overdue()
        await self._look_after_starting()
        await self._submit()

    async def reap(self) -> Orphaned:
        """Fail RUNNING worker operations whose process is seen to be gone."""
        async with self._database.read() as tx:
            running = await tx.queue.running()
        ended = [found for found in await self._look_at(running) if found[1].presence is Presence.ENDED]
        messages = [await self._fail_running(operation, seen) for operation, seen in ended]
        return Orphaned.of([one for one in messages if one is not None])

    async def _look_at(self, operations: list[Operation]) -> list[tuple[Operation, Sighting]]:
        """All at once: an engine that does not answer costs one wait, not one for each."""
        asked = [(one, one.executor_ref) for one in operations if one.executor_ref is not None]
        seen = await asyncio.gather(*(self._executor.look(ref) for _, ref in asked))
        return [(operation, sighting) for (operation, _), sighting in zip(asked, seen, strict=True)]

    async def _fail_running(self, operation: Operation, seen: Sighting) -> str | None:
        code = seen.code or _code_of(seen.exit_status, "WORKER_LOST")
        details = await self._details(operation, seen)
        async with self._database.transaction() as tx:
            return await tx.orphans.fail(operation.operation_id, operation.attempt, code, details)

    async def _stop_overdue(self) -> None:
        """A cancelled worker that does not stop is asked by signal, then killed; its row says so."""
        async with self._database.read() as tx:
            asked = {(one.operation_id, one.attempt): one for one in await tx.queue.asked_to_stop()}
        for key, seconds in self._asked.of(asked).items():
            operation = asked[key]
            if seconds > self._grace_seconds:
                if operation.executor_ref is not None:
                    await self._executor.kill(operation.executor_ref)
                async with self._database.transaction() as tx:
                    await tx.orphans.cancel_killed(operation.operation_id, operation.attempt)
            elif seconds > self._grace_seconds * TERMINATE_SHARE and operation.executor_ref is not None:
                await self._executor.terminate(operation.executor_ref)

    async def _look_after_starting(self) -> None:
        """A worker that ended before its claim has failed to start; one nobody knows is started anew."""
        async with self._database.read() as tx:
            starting = await tx.queue.starting()
        silent_for = self._starting.of((one.operation_id, one.revision) for one in starting)
        for operation, seen in await self._look_at(starting):
            gone = seen.presence is Presence.ABSENT
            if seen.presence is Presence.ENDED and seen.exit_status is None and seen.code is None:
                gone = True  # it ended while no backend of its own was there to see how
            silent = silent_for[operation.operation_id, operation.revision] > WORKER_LEASE_SECONDS
            if gone or (seen.presence is Presence.UNKNOWN and silent):
                async with self._database.transaction() as tx:
                    await tx.queue.release(operation)
            elif seen.presence is Presence.ENDED:
                await self._fail_start(operation, seen)

    async def _fail_start(self, operation: Operation, seen: Sighting) -> None:
        details = await self._details(operation, seen)
        message = "The worker was killed before it began"  # the log's last line is an earlier attempt's
        if seen.exit_status != KILLED:
            said = str(details["log"]).strip().rpartition("\n")[2] or seen.message
            status = "" if seen.exit_status is None else f" with status {seen.exit_status}"
            message = f"The worker ended{status} before it began: {said or '(no output)'}"
        code = seen.code or _code_of(seen.exit_status, "WORKER_START_FAILED")
        async with self._database.transaction() as tx:
            await tx.queue.fail_start(operation, code, message, details)

    async def _submit(self) -> None:
        """First come, first served: a large operation at the head is not overtaken."""
        async with self._database.read() as tx:
            waiting = await tx.queue.waiting(BATCH)
            held = [*await tx.queue.running(), *await tx.queue.starting()] if waiting else []
        if not waiting:
            self._unavailable_since = None  # whoever comes next is given the whole time to wait
        slots = self._executor.slots
        taken = sum(self._size(one) for one in held if self._executor.holds(one.executor_ref or ""))
        for operation in waiting:
            taken += self._size(operation)
            if slots is not None and taken > slots:
                return
            if not await self._start(operation):
                return

    def _size(self, operation: Operation) -> int:
        """Slots that an operation takes: one that asks for more than there are takes them all."""
        slots = self._executor.slots
        wanted = operation.resources.num_cpus
        return wanted if slots is None else min(wanted, slots)

    async def _start(self, operation: Operation) -> bool:
        """False: the engine can't be reached; the rest of the queue waits too, for a bounded time."""
        try:
            ref = await self._executor.submit(operation)
        except ExecutorUnavailable as unavailable:
            return await self._wait_for_engine(operation, unavailable)
        except StepFailed as refused:
            async with self._database.transaction() as tx:
                await tx.queue.fail_start(operation, refused.step_code, refused.message, None)
            return True
        self._unavailable_since = None
        async with self._database.transaction() as tx:
            await tx.queue.started(operation, ref)
        return True

    async def _wait_for_engine(self, operation: Operation, unavailable: ExecutorUnavailable) -> bool:
        now = time.monotonic()
        if self._unavailable_since is None:
            log.warning("operations wait: %s", unavailable.message)
            self._unavailable_since = now
        if now - self._unavailable_since < self._wait_seconds:
            return False
        async with self._database.transaction() as tx:
            await tx.queue.fail_start(operation, unavailable.code, unavailable.message, None)
        return True

    async def _details(self, operation: Operation, seen: Sighting) -> dict[str, Any]:
        tail = await self._executor.log(operation, LOG_TAIL_BYTES)
        return {"exit_status": seen.exit_status, "log": tail or ""}


def _code_of(exit_status: int | None, otherwise: str) -> str:
    """137 is SIGKILL: by hand, or by the kernel when memory ran out."""
    return "WORKER_KILLED" if exit_status == KILLED else otherwise
