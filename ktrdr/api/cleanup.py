"""The cleanup that comes by itself."""

from __future__ import annotations

import asyncio
import logging

from ktrdr.api.services.retention_service import HOUR_SECONDS, RetentionService
from ktrdr.domain.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

FIRST_SECONDS = 60.0  # after the start, when what was interrupted has had its time to be resumed


class PeriodicCleanup:
    """Sweeps a minute after the start, then every so many hours; a minute later when it left something."""

    def __init__(self, service: RetentionService, hours: float, first_seconds: float = FIRST_SECONDS) -> None:
        self._service = service
        self._seconds = hours * HOUR_SECONDS
        self._first_seconds = first_seconds
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`; a sweep that finds no database is left to the next one."""
        seconds = self._first_seconds
        while not await self._stopped_within(seconds):
            seconds = self._seconds
            try:
                done = await self._service.clean_up(stopping=self._stop.is_set)
            except DatabaseUnavailable as outage:
                log.warning("the cleanup waits for the database: %s", outage.message)
            except OSError as error:
                log.warning("the cleanup waits for the disk: %s", error)
            else:
                seconds = min(self._first_seconds, self._seconds) if done.more else self._seconds

    def stop(self) -> None:
        """End between two deletions."""
        self._stop.set()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True
