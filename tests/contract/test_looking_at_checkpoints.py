"""What is said of a checkpoint whose runner goes on while somebody looks at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.checkpointing.artifacts import delete_generation, delete_older, generations, write_generation
from ktrdr.checkpointing.schemas import CheckpointType, Manifest
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.contract.support import FINGERPRINT, running

pytestmark = pytest.mark.anyio


class Runner:
    """Saves a checkpoint of one epoch after the other."""

    def __init__(self, database: Database, artifacts: Path, attempt: int) -> None:
        self._database, self._artifacts, self._attempt = database, artifacts, attempt
        self.epoch = 0

    async def save(self) -> Manifest:
        """Files, then the row, then the older files go."""
        self.epoch += 1
        older = generations(self._artifacts, "op_1")
        written = write_generation(self._artifacts, "op_1", {"tensors": str(self.epoch).encode()})
        async with self._database.transaction() as tx:
            state = {"epoch": self.epoch}
            await tx.checkpoints.save(
                "op_1", self._attempt, CheckpointType.PERIODIC, state, written, FINGERPRINT
            )
        delete_older(self._artifacts, "op_1", older, written)
        return written

    def saves_behind_the_next_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read = self._database.read

        @asynccontextmanager
        async def read_and_move_on() -> AsyncIterator[Transaction]:
            async with read() as tx:
                yield tx
            monkeypatch.setattr(self._database, "read", read)
            await self.save()

        monkeypatch.setattr(self._database, "read", read_and_move_on)


async def test_a_checkpoint_that_is_replaced_meanwhile_is_not_called_corrupted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are gone because newer ones are there; the newer row is what is shown."""
    runner = Runner(database, tmp_path, await running(database, "op_1"))
    await runner.save()
    service = CheckpointsService(database, tmp_path)
    runner.saves_behind_the_next_read(monkeypatch)
    assert (await service.get("op_1")).checkpoint.state == {"epoch": 2}
    runner.saves_behind_the_next_read(monkeypatch)
    [only] = await service.list()
    assert (only.corruption, only.checkpoint.state) == (None, {"epoch": 3})


async def test_files_that_are_gone_for_good_are_corruption(database: Database, tmp_path: Path) -> None:
    """The row still points at them, however often one looks."""
    runner = Runner(database, tmp_path, await running(database, "op_1"))
    delete_generation(tmp_path, await runner.save())
    service = CheckpointsService(database, tmp_path)
    with pytest.raises(CheckpointCorrupted, match="The artifact 'tensors' of op_1"):
        await service.get("op_1")
    [only] = await service.list()
    assert only.corruption is not None
