"""Operations: list, show, start, cancel."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass

from ktrdr.agents.positions import position_of
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.domain.errors import InvalidInput, LogNotFound, OperationNotCancellable
from ktrdr.domain.operations import (
    CANCELLABLE,
    RESUMABLE,
    NewOperation,
    Operation,
    OperationType,
    Status,
)
from ktrdr.domain.resumes import STUCK_AFTER, Stuck, stuck
from ktrdr.persistence.events import OperationEvent
from ktrdr.persistence.unit_of_work import Database, Transaction
from ktrdr.workers.executors.executor import OperationExecutor


@dataclass(frozen=True)
class OperationView:
    """An operation and the checkpoint it has, if any."""

    operation: Operation
    checkpoint: StoredCheckpoint | None
    queue_position: int | None = None
    resumes: int = 0
    stuck: Stuck | None = None

    @property
    def resumable(self) -> bool:
        return self.operation.status in RESUMABLE and self.checkpoint is not None


class OperationsService:
    """Use cases of operations; every answer is read from the database."""

    def __init__(self, database: Database, *, executor: OperationExecutor, wake: Callable[[], None]) -> None:
        self._database = database
        self._executor = executor
        self._wake = wake

    async def get(self, operation_id: str) -> OperationView:
        """One operation. Raises OperationNotFound."""
        async with self._database.read() as tx:
            return await _view(tx, await tx.operations.get(operation_id))

    async def list(
        self,
        *,
        status: Status | None = None,
        operation_type: OperationType | None = None,
        resumable: bool | None = None,
        limit: int = 100,
    ) -> list[OperationView]:
        """Operations, newest first."""
        async with self._database.read() as tx:
            found = await tx.operations.list(
                status=status, operation_type=operation_type, resumable=resumable, limit=limit
            )
            return await _views(tx, found)

    async def since(
        self, operation_id: str, revision: int
    ) -> tuple[builtins.list[OperationEvent], OperationView]:
        """What happened to an operation after a revision of its row, and how it is now: one look at both."""
        async with self._database.read() as tx:
            view = await _view(tx, await tx.operations.get(operation_id))
            happened = await tx.events.after(operation_id, revision)
        return [one for one in happened if one.revision <= view.operation.revision], view

    async def log(self, operation_id: str, last_bytes: int) -> str:
        """The end of what the operation's workers wrote. Raises LogNotFound."""
        async with self._database.read() as tx:
            operation = await tx.operations.get(operation_id)
        found = await self._executor.log(operation, last_bytes)
        if found is None:
            raise LogNotFound(operation_id)
        return found

    async def start(self, new: NewOperation) -> OperationView:
        """Queue a worker operation of its own (no session). Raises InvalidInput for GPUs nobody has."""
        if new.resources.num_gpus > 0 and self._executor.slots is not None:
            raise InvalidInput(
                "num_gpus: this backend's workers run on its own CPUs. Set KTRDR_EXECUTOR=ray."
            )
        async with self._database.transaction() as tx:
            await tx.operations.insert_if_absent(new)
        self._wake()
        return await self.get(new.operation_id)

    async def cancel(self, operation_id: str) -> OperationView:
        """Ask for a cancel. What runs saves its checkpoint first; what waits is cancelled at once."""
        async with self._database.transaction() as tx:
            operation = await tx.operations.get(operation_id)
            accepted = await tx.operations.cancel_pending(operation_id) or await tx.operations.request_cancel(
                operation_id
            )
        if not accepted:
            raise OperationNotCancellable(
                f"Operation '{operation_id}' is {operation.status}; only "
                f"{' and '.join(sorted(CANCELLABLE))} operations can be cancelled.",
                {"status": operation.status.value},
            )
        self._wake()
        return await self.get(operation_id)


async def _view(tx: Transaction, operation: Operation) -> OperationView:
    return (await _views(tx, [operation]))[0]


async def _views(tx: Transaction, operations: list[Operation]) -> list[OperationView]:
    ids = [one.operation_id for one in operations]
    checkpoints, positions = await tx.checkpoints.of(ids), await tx.queue.positions(ids)
    resumes = await tx.resumes.of(ids)
    views: list[OperationView] = []
    for one in operations:
        stored, resumed = checkpoints.get(one.operation_id), resumes.get(one.operation_id, [])
        found: Stuck | None = None
        if len(resumed) >= STUCK_AFTER and one.status is not Status.COMPLETED:
            found = stuck(one, resumed, await position_of(tx, one, stored))
        views.append(OperationView(one, stored, positions.get(one.operation_id), len(resumed), found))
    return views
