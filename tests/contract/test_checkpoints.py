"""One checkpoint an operation, on both databases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ktrdr.checkpointing.integrity import verify
from ktrdr.checkpointing.schemas import CheckpointType, FileRecord, Manifest
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, insert, running

pytestmark = pytest.mark.anyio

MANIFEST = Manifest("op_1/abc", {"model.safetensors": FileRecord("0" * 64, 12)})


async def test_there_is_one_row_with_a_growing_sequence(database: Database) -> None:
    attempt = await running(database, "op_1")
    for number in range(1, 6):
        async with database.transaction() as tx:
            sequence = await tx.checkpoints.save(
                "op_1", attempt, CheckpointType.PERIODIC, {"epoch": number}, None, FINGERPRINT
            )
        assert sequence == number
    async with database.read() as tx:
        [only] = await tx.checkpoints.list()
    assert (only.sequence, only.state) == (5, {"epoch": 5})


async def test_what_is_read_is_what_was_saved(database: Database) -> None:
    attempt = await running(database, "op_1")
    state = {"é": [1, 2.5, 1e-300, None, True], "nested": {"z": 1, "a": 0.1 + 0.2}, "bad": math.inf}
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_1", attempt, CheckpointType.CANCELLATION, state, MANIFEST, FINGERPRINT)
    async with database.read() as tx:
        stored = await tx.checkpoints.get("op_1")
    assert stored is not None
    verify(stored)
    assert stored.state == {**state, "bad": None}
    assert stored.artifacts == MANIFEST
    assert stored.fingerprint == FINGERPRINT.to_json()
    assert (stored.attempt, stored.checkpoint_type) == (attempt, CheckpointType.CANCELLATION)
    with pytest.raises(CheckpointCorrupted):
        verify(replace(stored, sequence=2))


async def test_only_a_running_attempt_saves(database: Database) -> None:
    await insert(database, "op_1")
    attempt = await running(database, "op_2")
    async with database.transaction() as tx:
        for operation_id, number in (
            ("op_nowhere", 1),
            ("op_1", 1),
            ("op_2", attempt - 1),
            ("op_2", attempt + 1),
        ):
            saved = await tx.checkpoints.save(
                operation_id, number, CheckpointType.PERIODIC, {}, None, FINGERPRINT
            )
            assert saved is None
    async with database.read() as tx:
        assert await tx.checkpoints.list() == []


async def test_a_new_operation_has_its_first_checkpoint_before_it_runs(database: Database) -> None:
    """A session is saved with its trigger, as attempt 0."""
    await insert(database, "op_1")
    async with database.transaction() as tx:
        saved = await tx.checkpoints.save("op_1", 0, CheckpointType.PHASE_TRANSITION, {}, None, FINGERPRINT)
    assert saved == 1


async def test_a_deleted_checkpoint_is_gone(database: Database) -> None:
    attempt = await running(database, "op_1")
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_1", attempt, CheckpointType.PERIODIC, {}, MANIFEST, FINGERPRINT)
    async with database.transaction() as tx:
        assert await tx.checkpoints.delete("op_1")
        assert not await tx.checkpoints.delete("op_1")
    async with database.read() as tx:
        assert await tx.checkpoints.get("op_1") is None
        assert await tx.checkpoints.of(["op_1", "op_2"]) == {}
