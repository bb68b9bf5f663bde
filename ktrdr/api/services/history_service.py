"""What each epoch of a training came to: from its model, else from its latest checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktrdr.checkpointing.artifacts import read_generation
from ktrdr.checkpointing.history import HISTORY, history_of_checkpoint, history_of_model
from ktrdr.checkpointing.schemas import Manifest, StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted, HistoryNotFound
from ktrdr.domain.operations import Operation, OperationType
from ktrdr.persistence.unit_of_work import Database

TENSORS = "tensors.safetensors"
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class HistoryView:
    """A training and its epochs, the oldest first."""

    operation: Operation
    epochs: Sequence[Mapping[str, Any]]


class HistoryService:
    """Use cases of a training's history."""

    def __init__(self, database: Database, artifacts: Path) -> None:
        self._database = database
        self._artifacts = artifacts

    async def get(self, operation_id: str) -> HistoryView:
        """Every epoch that is on disk, verified.

        Raises OperationNotFound, HistoryNotFound, and CheckpointCorrupted for a file that is not what
        was saved. One that has gone because the training is further by now is looked for again.
        """
        operation, stored = await self._look(operation_id)
        while True:
            manifest, name, read = _source(operation, stored)
            wanted = Manifest(manifest.path, {name: manifest.files[name]})
            try:
                files = await asyncio.to_thread(read_generation, self._artifacts, wanted)
            except CheckpointCorrupted:
                before = (operation.status, stored and stored.sequence)
                operation, stored = await self._look(operation_id)
                if before == (operation.status, stored and stored.sequence):
                    raise
                continue
            return HistoryView(operation, await asyncio.to_thread(read, files[name]))

    async def _look(self, operation_id: str) -> tuple[Operation, StoredCheckpoint | None]:
        async with self._database.read() as tx:
            return await tx.operations.get(operation_id), await tx.checkpoints.get(operation_id)


def _source(
    operation: Operation, stored: StoredCheckpoint | None
) -> tuple[Manifest, str, Callable[[bytes], Records]]:
    """The generation, its file, and what reads it."""
    if operation.operation_type is not OperationType.TRAINING:
        why = f"it is {operation.operation_type}, not training. Ask for that of the training."
        raise HistoryNotFound(operation.operation_id, why)
    if operation.result is not None:
        model = Manifest.from_json(operation.result["model"])
        if HISTORY not in model.files:
            raise HistoryNotFound(operation.operation_id, "an older ktrdr trained it. Train it anew.")
        return model, HISTORY, history_of_model
    if stored is None or stored.artifacts is None:
        why = "no epoch of it was saved yet. Wait for its first checkpoint."
        raise HistoryNotFound(operation.operation_id, why)
    return stored.artifacts, TENSORS, history_of_checkpoint
