"""The checkpoint that a resumed session's child would go on from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.checkpointing.verification import verified
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible
from ktrdr.domain.operations import RESUMABLE
from ktrdr.domain.sessions import Phase
from ktrdr.persistence.unit_of_work import Transaction

CHILD_OF: Mapping[Phase, str] = {
    Phase.TRAINING: "training_operation_id",
    Phase.BACKTESTING: "backtest_operation_id",
    Phase.ASSESSING: "holdout_operation_id",
}


async def verify_child(tx: Transaction, session: StoredCheckpoint, artifacts: Path) -> None:
    """Raise now what the child of the session's phase would fail with after the resume.

    `session` is verified. A child that has not stopped, or has no checkpoint, has nothing to go on from.
    """
    name = CHILD_OF.get(Phase(session.state["phase"]))
    child_id = None if name is None else session.state[name]
    child = None if child_id is None else await tx.operations.find(child_id)
    if child is None or child.status not in RESUMABLE:
        return
    stored = await tx.checkpoints.get(child.operation_id)
    if stored is None:
        return
    try:
        await asyncio.to_thread(verified, stored, artifacts)
    except (CheckpointCorrupted, CheckpointIncompatible) as fault:
        raise type(fault)(
            f"{fault.message} Or begin this phase anew: 'ktrdr checkpoints delete {child.operation_id}', "
            "then resume the session.",
            {**fault.details, "operation_id": child.operation_id},
        ) from fault
