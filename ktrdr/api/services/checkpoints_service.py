"""Checkpoints: list, show and delete."""

from __future__ import annotations

import asyncio
import builtins
import logging
from dataclasses import dataclass
from pathlib import Path

from ktrdr.checkpointing.artifacts import delete_generation
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.checkpointing.verification import verified
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    CheckpointIncompatible,
    CheckpointInUse,
    CheckpointNotFound,
)
from ktrdr.domain.operations import RESUMABLE, Operation
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint as it is stored, its operation, and why it can't be resumed from (None: intact)."""

    checkpoint: StoredCheckpoint
    operation: Operation
    fault: CheckpointCorrupted | CheckpointIncompatible | None

    @property
    def corruption(self) -> str | None:
        """What is not what was saved; one of another schema version is not corrupted."""
        return self.fault.message if isinstance(self.fault, CheckpointCorrupted) else None


class CheckpointsService:
    """Use cases of checkpoints."""

    def __init__(self, database: Database, artifacts: Path) -> None:
        self._database = database
        self._artifacts = artifacts

    async def get(self, operation_id: str) -> CheckpointView:
        """One checkpoint that is what was saved.

        Raises OperationNotFound, CheckpointNotFound, CheckpointCorrupted.
        """
        seen: int | None = None
        while True:
            async with self._database.read() as tx:
                operation = await tx.operations.get(operation_id)
                stored = await tx.checkpoints.get(operation_id)
            if stored is None:
                raise CheckpointNotFound(operation_id)
            try:
                return CheckpointView(stored, operation, await self._verify(stored))
            except CheckpointCorrupted:
                if stored.sequence == seen:
                    raise
                seen = stored.sequence  # its runner may have replaced it, files and all, since it was read

    async def list(self, operation_id: str | None = None) -> list[CheckpointView]:
        """Every checkpoint, newest first, or that of one operation, each with its integrity."""
        async with self._database.read() as tx:
            if operation_id is None:
                stored_ones = await tx.checkpoints.list()
            else:
                only = await tx.checkpoints.get(operation_id)
                stored_ones = [] if only is None else [only]
            found = [(one, await tx.operations.find(one.operation_id)) for one in stored_ones]
        views: list[CheckpointView] = []
        for stored, operation in found:
            if operation is None:
                log.warning("a checkpoint of no operation: its key ('%s') is damaged", stored.operation_id)
                continue
            try:
                views.append(CheckpointView(stored, operation, await self._verify(stored)))
            except CheckpointCorrupted:
                views += await self._looked_at_again(stored, operation)
        return views

    async def _looked_at_again(
        self, stored: StoredCheckpoint, operation: Operation
    ) -> builtins.list[CheckpointView]:
        try:
            return [await self.get(stored.operation_id)]
        except CheckpointCorrupted as corruption:
            return [CheckpointView(stored, operation, corruption)]
        except CheckpointNotFound:  # the operation has completed
            return []

    async def delete(self, operation_id: str) -> None:
        """Delete a checkpoint that nothing is using. Raises CheckpointInUse for a live operation."""
        async with self._database.transaction() as tx:
            operation = await tx.operations.locked(operation_id)  # a resume waits, or is seen
            stored = await tx.checkpoints.get(operation_id)
            if stored is None:
                raise CheckpointNotFound(operation_id)
            if operation.status not in RESUMABLE:
                raise CheckpointInUse(
                    f"Operation '{operation_id}' is {operation.status} and may need its checkpoint. "
                    "Cancel it first.",
                    {"status": operation.status.value},
                )
            await tx.checkpoints.delete(operation_id)
        if stored.artifacts is not None:
            await asyncio.to_thread(delete_generation, self._artifacts, stored.artifacts)

    async def _verify(self, stored: StoredCheckpoint) -> CheckpointIncompatible | None:
        """None: it could be resumed from. Raises CheckpointCorrupted."""
        try:
            await asyncio.to_thread(verified, stored, self._artifacts)
        except CheckpointIncompatible as other_version:
            return other_version
        return None
