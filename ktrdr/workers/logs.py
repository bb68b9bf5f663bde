"""A worker's output: one file an operation, in the home, whatever engine runs the worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def log_path(logs: Path, operation_id: str) -> Path:
    """Where the output of an operation's workers is kept, attempt after attempt."""
    return logs / f"{operation_id}.log"


def read_end(path: Path, last_bytes: int) -> str | None:
    """The end of a log, cut at a line where there is one; None when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            start = max(0, file.tell() - last_bytes)
            file.seek(start)
            found = file.read(last_bytes)
    except FileNotFoundError:
        return None
    if start > 0 and b"\n" in found:
        found = found[found.index(b"\n") + 1 :]
    return found.decode(errors="replace")


def keep_output(path: Path) -> None:
    """Send this process's output, and that of native code in it, to a log from here on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
