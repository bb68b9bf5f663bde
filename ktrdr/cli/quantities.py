"""Ages, sizes and counts, as short as a table needs them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

AGES = (("d", 86_400), ("h", 3_600), ("min", 60))
SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def age(since: str | None, now: datetime) -> str:
    """How long ago an ISO time was, in whole units: `3 d`. A clock that is behind says `0 s`."""
    if since is None:
        return "-"
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    return next((f"{seconds // unit} {name}" for name, unit in AGES if seconds >= unit), f"{seconds} s")


def size(count: int) -> str:
    """Bytes: `14.2 MB`."""
    return next((f"{count / unit:.1f} {name}" for name, unit in SIZES if count >= unit), f"{count} B")


def many(found: Sequence[Any], noun: str) -> str:
    """`1 checkpoint`, `2 checkpoints`."""
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"
