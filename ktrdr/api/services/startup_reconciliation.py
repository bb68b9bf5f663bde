"""What a backend does about its predecessor's operations before it serves its first request."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconciliation:
    """How many backend-local operations this instance had running or waiting that are FAILED now."""

    with_checkpoint: int
    without_checkpoint: int


class StartupReconciliation:
    """Tells the truth about sessions whose backend is gone; workers' operations have their leases."""

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self._instance = instance

    async def reconcile(self) -> Reconciliation:
        """One set-based statement, whatever the number of rows; a second call finds nothing."""
        async with self._database.transaction() as tx:
            found = await tx.orphans.fail_backend_local(self._instance)
        done = Reconciliation(found.with_checkpoint, found.without_checkpoint)
        log.info(
            "reconciled: %d operations failed with a checkpoint to resume from, %d without",
            done.with_checkpoint,
            done.without_checkpoint,
        )
        return done
