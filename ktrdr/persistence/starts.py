"""What each start of a backend found: one row a start, written with what it changed."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.operations import RESUMABLE, Status
from ktrdr.persistence.orphans import Orphaned
from ktrdr.persistence.tables import checkpoints, db_now, operations, starts

_columns = operations.c
KEPT = 1_000  # a service manager that restarts a backend every few seconds leaves no more than these


@dataclass(frozen=True)
class Start:
    """One start. `seconds` are those from its first look at the database to this row."""

    start_id: int
    instance: str
    holder: str
    failed_with_checkpoint: int
    failed_without_checkpoint: int
    left_running: int
    resubmitted: int
    resumable: int
    seconds: float
    created_at: float

    @property
    def summary(self) -> str:
        """The same sentence for the log, the API and the command line."""
        failed = self.failed_with_checkpoint + self.failed_without_checkpoint
        return (
            f"Started in {self.seconds:.1f} s: {failed} marked FAILED "
            f"({self.failed_with_checkpoint} with a checkpoint), {self.left_running} left running, "
            f"{self.resubmitted} re-submitted, {self.resumable} can be resumed"
        )


class Starts:
    """The rows of `backend_starts`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(self, instance: str, holder: str, failed: Orphaned, seconds: float) -> Start:
        """Count what is there now and keep it. Only indexes of what is alive or has a checkpoint are read."""
        statement = insert(starts).values(
            instance=instance,
            holder=holder,
            failed_with_checkpoint=failed.with_checkpoint,
            failed_without_checkpoint=failed.without_checkpoint,
            left_running=await self._of_workers(Status.RUNNING),
            resubmitted=await self._of_workers(Status.PENDING),
            resumable=await self._resumable(),
            seconds=seconds,
            created_at=db_now(),
        )
        row = (await self._connection.execute(statement.returning(starts))).mappings().one()
        await self._connection.execute(delete(starts).where(starts.c.start_id <= row["start_id"] - KEPT))
        return Start(**row)

    async def list(self, limit: int) -> builtins.list[Start]:
        """Newest first."""
        query = select(starts).order_by(starts.c.start_id.desc()).limit(limit)
        return [Start(**row) for row in (await self._connection.execute(query)).mappings()]

    async def _of_workers(self, status: Status) -> int:
        query = select(func.count()).where(_columns.status == status.value, ~_columns.is_backend_local)
        return await self._connection.scalar(query) or 0

    async def _resumable(self) -> int:
        query = (
            select(func.count())
            .select_from(checkpoints)
            .join(operations, _columns.operation_id == checkpoints.c.operation_id)
            .where(_columns.status.in_(sorted(RESUMABLE)))
        )
        return await self._connection.scalar(query) or 0
