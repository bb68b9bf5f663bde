"""The one way from a stored checkpoint to one that is resumed from, for sessions, workers and the API."""

from __future__ import annotations

from pathlib import Path

from ktrdr.checkpointing.artifacts import verify_artifacts
from ktrdr.checkpointing.integrity import verify
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.checkpointing.upcasting import upcast


def verified(stored: StoredCheckpoint, artifacts: Path) -> StoredCheckpoint:
    """The checkpoint in the present schema, once its row and its files are what was saved.

    Reads every file to its end: from an event loop it is called in a thread. Raises CheckpointCorrupted
    naming the part or the artifact, and CheckpointIncompatible for a version that can't be read.
    """
    verify(stored)
    if stored.artifacts is not None:
        verify_artifacts(artifacts, stored.artifacts)
    return upcast(stored)


def verified_row(stored: StoredCheckpoint) -> StoredCheckpoint:
    """The same for a session, whose checkpoint is its row alone."""
    verify(stored)
    return upcast(stored)
