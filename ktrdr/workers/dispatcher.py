"""Submits PENDING worker operations and fails those whose worker is gone."""

from __future__ import annotations

import asyncio
import logging
import time

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import WORKER_LEASE_SECONDS, WORKER_UNAVAILABLE
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.executors.local import LocalExecutor

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
LOG_TAIL_BYTES = 2000


class Dispatcher:
    """One loop over the database's rows; what it remembers are only its own child processes."""

    def __init__(self, database: Database, executor: LocalExecutor, slots: int) -> None:
        self._database = database
        self._executor = executor
        self._slots = slots
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()
        self._last_look = time.monotonic()
        self._hold_until = 0.0

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
                await asyncio.wait_for(self._woken.wait(), TICK_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End the loop; the workers go on."""
        self._stop.set()
        self._woken.set()

    async def tick(self) -> None:
        """Collect, reap, submit: once."""
        await self._collect()
        await self.reap()
        await self._submit()

    async def reap(self) -> None:
        """Fail RUNNING worker operations whose process is gone or whose lease has run out.

        After a gap of its own (a database outage, a laptop's sleep) leases are not judged for one
        lease time: healthy workers must get to renew theirs first.
        """
        now = time.monotonic()
        if now - self._last_look > WORKER_LEASE_SECONDS / 2:
            self._hold_until = now + WORKER_LEASE_SECONDS
        async with self._database.read() as tx:
            running = await tx.operations.running_workers()
        for operation in running:
            if operation.executor_ref and self._executor.is_alive(operation.executor_ref) is False:
                async with self._database.transaction() as tx:
                    await tx.operations.orphan(operation.operation_id, operation.attempt, WORKER_UNAVAILABLE)
        if now >= self._hold_until:
            async with self._database.transaction() as tx:
                await tx.operations.orphan_expired_leases()
        self._last_look = time.monotonic()

    async def _collect(self) -> None:
        """A worker that exits without having claimed has failed to start; its log says why."""
        for ended in self._executor.reap():
            if ended.status in (0, 3):
                continue
            tail = await asyncio.to_thread(self._log_tail, ended.operation_id)
            message = f"The worker exited with {ended.status} before it began: {tail}"
            async with self._database.transaction() as tx:
                await tx.operations.fail_pending(
                    ended.operation_id, ended.attempt, "WORKER_START_FAILED", message
                )

    async def _submit(self) -> None:
        async with self._database.read() as tx:
            waiting = await tx.operations.pending_for_workers(self._slots + len(self._executor.started()))
            running = await tx.operations.running_workers()
        busy = {one.operation_id for one in running} | self._executor.started()
        for operation in waiting:
            if len(busy) >= self._slots:
                return
            if operation.operation_id not in busy:
                self._executor.submit(operation.operation_id, operation.attempt)
                busy.add(operation.operation_id)

    def _log_tail(self, operation_id: str) -> str:
        try:
            text = self._executor.log(operation_id).read_bytes()[-LOG_TAIL_BYTES:]
        except FileNotFoundError:
            return "(no log)"
        return text.decode(errors="replace").strip()
