"""What lies in the artifacts folder, whether or not a row points at it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ktrdr.domain.operations import is_safe_key

GENERATION = re.compile(r"(tmp-)?[0-9a-f]{32}")  # what `write_generation` makes: complete, or in the writing


@dataclass(frozen=True)
class Folder:
    """A generation of files beneath its owner's folder; without a name, the owner's folder, empty.

    The owner is an operation, or one of its kinds of results (`ID.model`, `ID.report`). `modified` is in
    seconds since 1970, by the clock of the disk.
    """

    owner: str
    name: str
    modified: float

    @property
    def path(self) -> str:
        """As a manifest names it."""
        return f"{self.owner}/{self.name}" if self.name else self.owner

    @property
    def operations(self) -> tuple[str, ...]:
        """The ids it may belong to: a session's child, say, its session, and what is named after either."""
        parts = self.owner.split(".")
        return tuple(".".join(parts[:number]) for number in range(1, len(parts) + 1))


def list_folders(root: Path) -> list[Folder]:
    """Every folder of our naming. Links, files, and what somebody else put there are left out."""
    found: list[Folder] = []
    for owner in _directories(root):
        if not is_safe_key(owner.name):
            continue
        with suppress(OSError):  # removed meanwhile, or not ours to read
            if not any(os.scandir(owner)):
                found.append(Folder(owner.name, "", owner.stat().st_mtime))
        for one in _directories(Path(owner)):
            if GENERATION.fullmatch(one.name):
                with suppress(OSError):
                    found.append(Folder(owner.name, one.name, one.stat().st_mtime))
    return found


def size_of(root: Path, path: str) -> int:
    """The bytes of a folder's files; 0 when it is gone, or no folder of the artifacts."""
    place, total = _beneath(root, path), 0
    for directory, _, names in () if place is None else os.walk(place):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total


def remove(root: Path, path: str) -> int:
    """Remove a generation, or an owner's folder that is empty, and say how many bytes that freed.

    A folder that has got files meanwhile stays, and so does what can't be removed.
    """
    place, before = _beneath(root, path), size_of(root, path)
    if place is None:
        return 0
    if place.parent == root:
        with suppress(OSError):
            place.rmdir()
        return 0
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.parent.rmdir()
    return before - size_of(root, path)


def _directories(parent: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = [*os.scandir(parent)]
    except OSError:
        return
    yield from (one for one in entries if one.is_dir(follow_symlinks=False))


def _beneath(root: Path, path: str) -> Path | None:
    parts = path.split("/")
    inside = len(parts) <= 2 and all(is_safe_key(part) for part in parts)
    return root.joinpath(*parts) if inside else None
