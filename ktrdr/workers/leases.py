"""Judges leases: the last word on a worker that nobody can ask after.

A beat of its own, with nothing but the database in it: an engine that hangs can't hold it up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import WORKER_LEASE_SECONDS
from ktrdr.persistence.orphans import Sign
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.ages import Ages

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
SUSPECT_SECONDS = 5.0  # silent for that long, a worker is waited for by writing what it would write


class LeaseJudge:
    """Fails RUNNING worker operations that have not renewed their lease, when it is sure that they could.

    How long one has been silent is measured by the judge's own clock, which nobody sets: the database's
    jumps with its machine's, and a lease of an hour ago or ahead says nothing then. The counting starts
    anew after a gap of the judge's own (a stopped process, a database outage), and when the database
    takes no write (a full disk), since the worker's renewal would not have been taken either.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._last_look: float | None = None
        self._silence: Ages[Sign] = Ages(clock)
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
        if self._last_look is None or self._clock() - self._last_look > WORKER_LEASE_SECONDS / 2:
            self._silence.forget()
        try:
            async with self._database.read() as tx:
                signs = await tx.orphans.signs_of_life()
            failed = await self._fail_silent(self._silence.of(signs))
        except DatabaseUnavailable:
            self._silence.forget()
            raise
        self._last_look = self._clock()
        return failed

    async def _fail_silent(self, silent_for: Mapping[Sign, float]) -> list[str]:
        suspects = [sign for sign, seconds in silent_for.items() if seconds >= SUSPECT_SECONDS]
        if not suspects:
            return []
        lost = [sign for sign in suspects if silent_for[sign] >= WORKER_LEASE_SECONDS]
        async with self._database.transaction() as tx:
            await tx.orphans.touch(suspects[0])
            return [sign.operation_id for sign in lost if await tx.orphans.fail_silent(sign)]
