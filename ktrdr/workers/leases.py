"""Judges leases: the last word on a worker that nobody can ask after.

A beat of its own, with nothing but the database in it: an engine that hangs can't hold it up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import WORKER_LEASE_SECONDS
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0


class LeaseJudge:
    """Fails RUNNING worker operations whose lease has run out, when it can be sure that they could renew it.

    After a start, and after a gap of its own (a database outage, a laptop's sleep), it holds its fire
    for one lease time: leases may have run out while nobody was able to renew them.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._last_look: float | None = None
        self._hold_until = 0.0
        self._stop = asyncio.Event()

    async def run(self) -> None:
        while not self._stop.is_set():
            try:
                await self.judge()
            except DatabaseUnavailable as outage:
                log.warning("leases wait for the database: %s", outage.message)
            try:
                await asyncio.wait_for(self._stop.wait(), BEAT_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stop.set()

    async def judge(self) -> list[str]:
        """Once; returns the operations that were failed."""
        now = self._clock()
        if self._last_look is None or now - self._last_look > WORKER_LEASE_SECONDS / 2:
            self._hold_until = now + WORKER_LEASE_SECONDS
        failed: list[str] = []
        async with self._database.transaction() as tx:
            if now >= self._hold_until:
                failed = await tx.orphans.fail_expired_leases()
        self._last_look = self._clock()
        return failed
