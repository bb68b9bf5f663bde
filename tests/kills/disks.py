"""Disks that take nothing: a real one of some megabytes, and a limit on a worker that needs no rights."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

MEGABYTES = 32


class SmallDisk:
    """A file system of its own at a path, which can be filled to the last byte, or made read-only."""

    def __init__(self, path: Path, megabytes: float = MEGABYTES) -> None:
        """Skips the test where no file system may be mounted."""
        self._path = path
        self._filler = path / "filler"
        path.mkdir(parents=True, exist_ok=True)
        size = f"size={round(megabytes * 1024)}k,mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "none", str(path)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")

    def fill(self) -> None:
        """Write until there is no room for another byte."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for piece in (65_536, 512, 1):
                with suppress(OSError):  # ENOSPC
                    while os.write(handle, bytes(piece)):
                        pass
        finally:
            os.close(handle)
        assert os.statvfs(self._path).f_bavail == 0

    def free(self) -> None:
        self._filler.unlink()

    def set_writable(self, writable: bool) -> None:
        option = "remount,rw" if writable else "remount,ro"
        subprocess.run(["mount", "-o", option, str(self._path)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self._path)], check=True)


def limit_files(worker: psutil.Process, size: int | None) -> None:
    """No file of the worker may grow beyond `size` bytes: a write fails with EFBIG. None: as it was."""
    most = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
