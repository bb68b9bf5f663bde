"""What a session's child would go on from is verified before the session is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.child_checkpoints import verify_child
from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.schemas import CheckpointType, StoredCheckpoint, TrainingCheckpointState
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.operations import Event
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, running

pytestmark = pytest.mark.anyio

SESSION = AgentSession(1, "op_1", TriggerReason.MANUAL, 1, "nasdaq", training_operation_id="op_1.training")


async def killed_in(
    database: Database, root: Path, phase: Phase, *, stopped: bool = True
) -> StoredCheckpoint:
    """A session's checkpoint in that phase; its training has a checkpoint whose file is damaged."""
    child, mine = await running(database, "op_1.training"), await running(database, "op_1")
    manifest = write_generation(root, "op_1.training", {"tensors": b"weights"})
    (root / manifest.path / "tensors").write_bytes(b"weighty")
    state = TrainingCheckpointState(3, 9).to_json()
    async with database.transaction() as tx:
        kind = CheckpointType.PERIODIC
        await tx.checkpoints.save("op_1.training", child, kind, state, manifest, FINGERPRINT)
        session = build(replace(SESSION, phase=phase)).to_json()
        await tx.checkpoints.save("op_1", mine, CheckpointType.PHASE_TRANSITION, session, None, FINGERPRINT)
        if stopped:
            await tx.operations.finish("op_1.training", child, Event.FAIL, error_message="x")
        stored = await tx.checkpoints.get("op_1")
    assert stored is not None
    return stored


async def check(database: Database, session: StoredCheckpoint, root: Path) -> None:
    async with database.read() as tx:
        await verify_child(tx, session, root)


async def test_a_damaged_child_is_told_before_its_session_is_resumed(
    database: Database, tmp_path: Path
) -> None:
    """It names the child, its file, and how to begin the phase anew; then that is enough."""
    session = await killed_in(database, tmp_path, Phase.TRAINING)
    with pytest.raises(
        CheckpointCorrupted, match=r"checkpoints delete op_1\.training', then resume"
    ) as found:
        await check(database, session, tmp_path)
    assert (found.value.details["artifact"], found.value.details["operation_id"]) == (
        "tensors",
        "op_1.training",
    )
    async with database.transaction() as tx:
        await tx.checkpoints.delete("op_1.training")
    await check(database, session, tmp_path)


@pytest.mark.parametrize(
    ("phase", "stopped"),
    [(Phase.TRAINING, False), (Phase.DESIGNING, True), (Phase.BACKTESTING, True)],
)
async def test_a_child_that_is_not_gone_on_from_is_not_looked_at(
    database: Database, tmp_path: Path, phase: Phase, stopped: bool
) -> None:
    """One that runs is attached to; one of another phase is finished, or not begun."""
    await check(database, await killed_in(database, tmp_path, phase, stopped=stopped), tmp_path)
