"""What a backend does about its predecessor's operations before it serves its first request."""

from __future__ import annotations

import builtins
import logging
import time

from ktrdr.persistence.orphans import Orphaned
from ktrdr.persistence.starts import Start
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)


class StartupReconciliation:
    """Tells the truth about sessions whose backend is gone; workers' operations have their leases."""

    def __init__(self, database: Database, instance: str, holder: str) -> None:
        self._database = database
        self._instance = instance
        self._holder = holder
        self._begun = time.monotonic()  # made when the start begins

    async def reconcile(self, lost: Orphaned = Orphaned(0, 0)) -> Start:
        """One set-based statement, whatever the number of rows, and what it found, in the same commit.

        `lost` are the workers' operations that this start has failed already. A second call finds nothing.
        """
        async with self._database.transaction() as tx:
            own = await tx.orphans.fail_backend_local(self._instance)
            failed = Orphaned(
                own.with_checkpoint + lost.with_checkpoint, own.without_checkpoint + lost.without_checkpoint
            )
            seconds = time.monotonic() - self._begun
            found = await tx.starts.record(self._instance, self._holder, failed, seconds)
        log.info(found.summary)
        return found

    async def list(self, limit: int) -> builtins.list[Start]:
        """What each start found, newest first."""
        async with self._database.read() as tx:
            return await tx.starts.list(limit)
