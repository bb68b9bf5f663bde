"""Operations: list, show, cancel, resume. Resume verifies everything, then only re-queues."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ktrdr.agents.capacity import require_capacity
from ktrdr.agents.child_checkpoints import verify_child
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.checkpointing.verification import verified
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of, settings_of
from ktrdr.domain.errors import (
    CheckpointIncompatible,
    CheckpointNotFound,
    InvalidInput,
    KtrdrError,
    LogNotFound,
    OperationNotCancellable,
    OperationNotResumable,
    ResumeConflict,
)
from ktrdr.domain.fingerprints import Fingerprint, described
from ktrdr.domain.operations import (
    CANCELLABLE,
    RESUMABLE,
    NewOperation,
    Operation,
    OperationType,
    Status,
)
from ktrdr.domain.sessions import GateThresholds
from ktrdr.persistence.events import OperationEvent
from ktrdr.persistence.unit_of_work import Database, Transaction
from ktrdr.workers.executors.executor import OperationExecutor


@dataclass(frozen=True)
class OperationView:
    """An operation and the checkpoint it has, if any."""

    operation: Operation
    checkpoint: StoredCheckpoint | None
    queue_position: int | None = None

    @property
    def resumable(self) -> bool:
        return self.operation.status in RESUMABLE and self.checkpoint is not None


@dataclass(frozen=True)
class ResumePlan:
    """What a resume goes on from, or the reason why it can't."""

    operation: Operation
    checkpoint: StoredCheckpoint | None
    obstacle: KtrdrError | None


class OperationsService:
    """Use cases of operations; every answer is read from the database."""

    def __init__(
        self,
        database: Database,
        *,
        instance: str,
        max_active: int,
        thresholds: GateThresholds,
        artifacts: Path,
        catalog: Catalog,
        executor: OperationExecutor,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._executor = executor
        self._instance = instance
        self._max_active = max_active
        self._thresholds = thresholds
        self._artifacts = artifacts
        self._catalog = catalog
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
            ids = [one.operation_id for one in found]
            checkpoints, positions = await tx.checkpoints.of(ids), await tx.queue.positions(ids)
        return [
            OperationView(one, checkpoints.get(one.operation_id), positions.get(one.operation_id))
            for one in found
        ]

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

    async def preview(self, operation_id: str, *, force: bool) -> ResumePlan:
        """What a resume would do, without doing it."""
        async with self._database.read() as tx:
            operation = await tx.operations.get(operation_id)
            try:
                return ResumePlan(operation, await self._verified(tx, operation, force=force), None)
            except KtrdrError as obstacle:
                return ResumePlan(operation, None, obstacle)

    async def resume(self, operation_id: str, *, force: bool) -> ResumePlan:
        """Verify the checkpoint, then re-queue. A refusal changes nothing.

        Of any number of concurrent callers one wins the guarded UPDATE; the others get a conflict.
        """
        async with self._database.transaction() as tx:
            operation = await tx.operations.get(operation_id)
            checkpoint = await self._verified(tx, operation, force=force)
            if not await tx.operations.requeue(operation_id, self._owner(operation)):
                raise ResumeConflict(
                    f"Operation '{operation_id}' was resumed by somebody else at the same moment.",
                    {"operation_id": operation_id},
                )
        self._wake()
        return ResumePlan(operation, checkpoint, None)

    def _owner(self, operation: Operation) -> str | None:
        return self._instance if operation.is_backend_local else None

    async def _verified(self, tx: Transaction, operation: Operation, *, force: bool) -> StoredCheckpoint:
        """The checkpoint, once nothing stands in the way of resuming from it."""
        if operation.status not in RESUMABLE:
            hint = (
                "it goes on by itself" if operation.status is not Status.COMPLETED else "its result is there"
            )
            raise OperationNotResumable(
                f"Operation '{operation.operation_id}' is {operation.status}: {hint}. "
                "Only FAILED and CANCELLED operations can be resumed.",
                {"status": operation.status.value},
            )
        if operation.operation_type is OperationType.AGENT_RESEARCH:
            await require_capacity(tx, self._max_active, resuming=operation.operation_id)
        stored = await tx.checkpoints.get(operation.operation_id)
        if stored is None:
            raise CheckpointNotFound(operation.operation_id)
        stored = await asyncio.to_thread(verified, stored, self._artifacts)
        if operation.operation_type is OperationType.AGENT_RESEARCH:
            await verify_child(tx, stored, self._artifacts)
        if not force:
            self._check_fingerprint(operation, stored)
        return stored

    def _check_fingerprint(self, operation: Operation, stored: StoredCheckpoint) -> None:
        request = operation.request
        agent = operation.operation_type is OperationType.AGENT_RESEARCH
        strategy: Mapping[str, Any] | None = (
            stored.state.get("strategy_config") if agent else request["strategy_config"]
        )
        settings = asdict(self._thresholds) if agent else settings_of(request)
        now = fingerprint_of(self._catalog, str(request["dataset"]), strategy, settings)
        difference = Fingerprint.from_json(stored.fingerprint).difference(now)
        if difference:
            raise CheckpointIncompatible(
                f"The checkpoint of '{operation.operation_id}' was made from other inputs:\n  "
                + "\n  ".join(described(difference))
                + "\nRestore them, or resume with force=true to go on regardless.",
                {"difference": difference},
            )


async def _view(tx: Transaction, operation: Operation) -> OperationView:
    positions = await tx.queue.positions([operation.operation_id])
    stored = await tx.checkpoints.get(operation.operation_id)
    return OperationView(operation, stored, positions.get(operation.operation_id))
