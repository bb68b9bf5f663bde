"""Files beside a checkpoint, in generations.

A new generation is complete on disk before the row points at it, and the old one goes only after
the row has moved on: at every instant the row points at files that are whole.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ktrdr.checkpointing.schemas import FileRecord, Manifest
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.operations import is_safe_key


def write_generation(root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest:
    """Write files so that they are there whole or not at all (temp, fsync, rename, fsync parent)."""
    if not is_safe_key(operation_id) or not all(is_safe_key(name) for name in files):
        raise ValueError(f"not a safe name among {operation_id!r}, {sorted(files)}")
    parent = root / operation_id
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = uuid.uuid4().hex
    temporary = parent / f"tmp-{name}"
    temporary.mkdir(parents=True, mode=0o700)  # a cleanup may just have removed an empty parent
    try:
        for file_name, content in files.items():
            _write(temporary / file_name, content)
        _sync(temporary)
        os.rename(temporary, parent / name)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(parent)
    records = {
        file_name: FileRecord(hashlib.sha256(content).hexdigest(), len(content))
        for file_name, content in files.items()
    }
    return Manifest(f"{operation_id}/{name}", records)


def read_generation(root: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files, verified. Raises CheckpointCorrupted naming the file that is not what was written."""
    found: dict[str, bytes] = {}
    for name, record in manifest.files.items():
        try:
            content = _read(_directory(root, manifest) / name)
        except OSError as error:
            raise _corrupted(manifest, name, error.strerror or "unreadable") from error
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise _corrupted(manifest, name, f"{len(content)} bytes that do not match their hash")
        found[name] = content
    return found


def verify_artifacts(root: Path, manifest: Manifest) -> None:
    """Raises CheckpointCorrupted when a file is missing or changed."""
    read_generation(root, manifest)


def delete_generation(root: Path, manifest: Manifest) -> None:
    """Remove one generation; one that is gone already is no error."""
    shutil.rmtree(_directory(root, manifest), ignore_errors=True)


def delete_older(root: Path, operation_id: str, keep: Manifest) -> None:
    """Remove the operation's earlier generations, and what a killed writer left behind.

    What is newer than `keep` stays: the next generation in the writing, or that of the attempt which
    replaced a process that was stopped right before it came here.
    """
    kept = _directory(root, keep)
    with suppress(FileNotFoundError):  # `keep` itself may be gone by then, removed by its successor
        written = kept.stat().st_mtime_ns
        for entry in [*kept.parent.iterdir()]:
            if entry.name != kept.name and _modified(entry) < written:
                shutil.rmtree(entry, ignore_errors=True)


def delete_all(root: Path, operation_id: str) -> None:
    """Remove every generation of an operation: it is complete, and its row points at none."""
    shutil.rmtree(root / operation_id, ignore_errors=True)


def _modified(entry: Path) -> float:
    try:
        return entry.stat().st_mtime_ns
    except FileNotFoundError:  # renamed or removed meanwhile: not ours to remove
        return math.inf


def _directory(root: Path, manifest: Manifest) -> Path:
    parts = manifest.path.split("/")
    if len(parts) != 2 or not all(is_safe_key(part) for part in (*parts, *manifest.files)):
        raise CheckpointCorrupted(f"The manifest names a path outside the artifacts: {manifest.path!r}.")
    return root.joinpath(*parts)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read()


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _corrupted(manifest: Manifest, name: str, what: str) -> CheckpointCorrupted:
    return CheckpointCorrupted(
        f"The artifact '{name}' of {manifest.path.split('/')[0]} is not what was saved: {what}. "
        "Restore it from a backup, or start the operation anew.",
        {"artifact": name, "path": manifest.path},
    )
