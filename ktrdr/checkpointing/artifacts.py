"""Files beside a checkpoint, in generations.

A new generation is complete on disk before the row points at it, and the old one goes only after
the row has moved on: at every instant the row points at files that are whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ktrdr.checkpointing.schemas import FileRecord, Manifest
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.operations import is_safe_key

PIECE_BYTES = 1 << 20


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
        pieces: list[bytes] = []
        _check(root, manifest, name, record, pieces.append)
        found[name] = b"".join(pieces)
    return found


def verify_artifacts(root: Path, manifest: Manifest) -> None:
    """Raises CheckpointCorrupted when a file is missing or changed, or a link lies beside them.

    However large they are, no file is held in memory.
    """
    for name, record in manifest.files.items():
        _check(root, manifest, name, record, lambda _: None)
    try:
        with os.scandir(_directory(root, manifest)) as entries:
            links = sorted(one.name for one in entries if one.is_symlink())
    except OSError as error:
        raise _corrupted(manifest, manifest.path, _said(error)) from error
    if links:
        raise _corrupted(manifest, links[0], "a link, which ktrdr never writes")


def delete_generation(root: Path, manifest: Manifest) -> None:
    """Remove one generation. One that is gone is no error, and nor is a damaged path: it has no files."""
    with suppress(CheckpointCorrupted):
        shutil.rmtree(_directory(root, manifest), ignore_errors=True)


def generations(root: Path, operation_id: str) -> frozenset[str]:
    """The names of what lies in an operation's folder, with what killed writers left there."""
    with suppress(OSError):  # none yet, or a disk that is away: then nothing is removed
        return frozenset(os.listdir(root / operation_id))
    return frozenset()


def delete_older(root: Path, operation_id: str, older: Iterable[str], keep: Manifest) -> None:
    """Remove what an attempt found when it began, or wrote before `keep`.

    By name, never by time: the attempt may have slept here while another replaced it, and a clock may
    have been set.
    """
    for name in older:
        if f"{operation_id}/{name}" != keep.path:
            shutil.rmtree(root / operation_id / name, ignore_errors=True)


def delete_all(root: Path, operation_id: str) -> None:
    """Remove every generation of an operation: it is complete, and its row points at none."""
    shutil.rmtree(root / operation_id, ignore_errors=True)


def _directory(root: Path, manifest: Manifest) -> Path:
    parts = manifest.path.split("/")
    if len(parts) != 2 or not all(is_safe_key(part) for part in (*parts, *manifest.files)):
        raise CheckpointCorrupted(
            f"The manifest names a path outside the artifacts: {manifest.path!r}. "
            "Restore the database from a backup, or start the operation anew.",
            {"part": "artifacts", "path": manifest.path},
        )
    return root.joinpath(*parts)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check(
    root: Path, manifest: Manifest, name: str, record: FileRecord, take: Callable[[bytes], None]
) -> None:
    """Read a file to its end, piece by piece, and compare it with its record."""
    _directory(root, manifest)  # refuses a path that leads elsewhere
    digest = hashlib.sha256()
    try:
        with _opened(root, f"{manifest.path}/{name}") as file:
            size = os.fstat(file.fileno()).st_size
            if size != record.bytes:
                raise _corrupted(manifest, name, f"{size:,} bytes of {record.bytes:,}")
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                take(piece)
    except OSError as error:
        raise _corrupted(manifest, name, _said(error)) from error
    if digest.hexdigest() != record.sha256:
        raise _corrupted(manifest, name, f"{size:,} bytes that do not match their hash")


def _said(error: OSError) -> str:
    """In the words of a file that is looked for."""
    known = {errno.ENOENT: "it is missing", errno.ELOOP: "it is a link", errno.ENOTDIR: "it is missing"}
    return known.get(error.errno or 0, error.strerror or "unreadable")


def _opened(root: Path, path: str) -> BinaryIO:
    """A plain file beneath the root; neither it nor a directory on the way may be a link."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = path.split("/")
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        # Without O_NONBLOCK a pipe in the file's place would be waited for, for ever.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return os.fdopen(file, "rb")


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
