"""Going on from a checkpoint: everything is verified first, then the operation is only re-queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ktrdr.agents.capacity import require_capacity
from ktrdr.checkpointing.artifacts import verify_artifacts
from ktrdr.checkpointing.integrity import verify
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of, settings_of
from ktrdr.domain.errors import (
    CheckpointIncompatible,
    CheckpointNotFound,
    KtrdrError,
    OperationNotResumable,
    ResumeConflict,
)
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.operations import RESUMABLE, Operation, OperationType, Status
from ktrdr.domain.sessions import GateThresholds
from ktrdr.persistence.unit_of_work import Database, Transaction


@dataclass(frozen=True)
class ResumePlan:
    """What a resume goes on from, or the reason why it can't."""

    operation: Operation
    checkpoint: StoredCheckpoint | None
    obstacle: KtrdrError | None


class ResumesService:
    """Use cases of a resume; every answer is read from the database."""

    def __init__(
        self,
        database: Database,
        *,
        instance: str,
        max_active: int,
        thresholds: GateThresholds,
        artifacts: Path,
        catalog: Catalog,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._instance = instance
        self._max_active = max_active
        self._thresholds = thresholds
        self._artifacts = artifacts
        self._catalog = catalog
        self._wake = wake

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
        verify(stored)
        if stored.artifacts is not None:
            verify_artifacts(self._artifacts, stored.artifacts)
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
                f"The checkpoint of '{operation.operation_id}' was made under other "
                f"{', '.join(difference)}. Restore them, or resume with force=true to go on regardless.",
                {"difference": difference},
            )
