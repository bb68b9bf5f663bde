"""Is a checkpoint what was saved? The hash binds a state to its operation and its sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.fingerprints import sha256_of


def state_sha256(operation_id: str, sequence: int, state: Mapping[str, Any]) -> str:
    """The hash stored beside a state; a row swapped in from elsewhere does not match it."""
    return sha256_of([operation_id, sequence, state])


def verify(stored: StoredCheckpoint) -> None:
    """Raises CheckpointCorrupted when the row is not what was saved."""
    if state_sha256(stored.operation_id, stored.sequence, stored.state) != stored.state_sha256:
        raise CheckpointCorrupted(
            f"The checkpoint of '{stored.operation_id}' is not what was saved: its state does not match "
            "its hash. Restore the database from a backup, or start the operation anew.",
            {"operation_id": stored.operation_id, "part": "state"},
        )
