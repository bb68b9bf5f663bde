"""What is kept and what goes: decided from what was read, without reading anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ktrdr.checkpointing.folders import Folder
from ktrdr.domain.operations import TERMINAL, Operation


def is_expired(family: Sequence[Operation], now: float, seconds: float) -> bool:
    """Whether the checkpoints of a session and its children go, together.

    Not while one of them waits or runs, nor before `seconds` have passed since the last write to any.
    Both times are the database's.
    """
    if not all(one.status in TERMINAL for one in family):
        return False
    return all(now - one.updated_at >= seconds for one in family)


def unreferenced(
    folders: Iterable[Folder],
    *,
    active: Collection[str],
    referenced: Collection[str],
    now: float,
    seconds: float,
) -> list[Folder]:
    """The folders that no row points at, that are `seconds` old, and whose operation has ended; oldest first.

    What is read in another order may be wrong: the folders first, then what waits or runs, then what rows
    point at. So a folder that was there is being written by something active, or recorded by now, or left.
    """
    found = (
        one
        for one in folders
        if now - one.modified >= seconds
        and one.path not in referenced
        and not any(operation in active for operation in one.operations)
    )
    return sorted(found, key=lambda one: (one.modified, one.path))
