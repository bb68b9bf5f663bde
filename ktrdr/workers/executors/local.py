"""Workers as detached processes of this machine: they outlive the backend that started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

# What a worker may know: no provider key, no token.
_INHERITED: tuple[str, ...] = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHASHSEED",
    "VIRTUAL_ENV",
)
_INHERITED += ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NUMBA_CACHE_DIR")


@dataclass(frozen=True)
class Exit:
    """A worker that has ended: whose, started for which attempt, and its exit status."""

    operation_id: str
    attempt: int
    status: int


def process_reference() -> str:
    """`local:host:pid:start time` of this process: a pid alone may be somebody else's tomorrow."""
    return f"local:{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


class LocalExecutor:
    """Starts, looks at and stops worker processes; knows nothing of what they do."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._children: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}

    def submit(self, operation_id: str, attempt: int) -> None:
        """Start a worker in a session of its own, its output in the operation's log.

        `attempt` is the row's when the worker is started; it comes back with the worker's exit.
        """
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log(operation_id).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "ktrdr.workers", "--operation-id", operation_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, **self._environment},
                start_new_session=True,
            )
        self._children[operation_id] = (attempt, child)

    def started(self) -> frozenset[str]:
        """Operations whose worker was started here and has not exited."""
        return frozenset(self._children)

    def reap(self) -> list[Exit]:
        """Collect the workers that have exited; leaves no zombie."""
        ended = [
            Exit(key, attempt, child.returncode)
            for key, (attempt, child) in self._children.items()
            if child.poll() is not None
        ]
        for one in ended:
            del self._children[one.operation_id]
        return ended

    def log(self, operation_id: str) -> Path:
        """The file a worker's output goes to."""
        return self._logs / f"{operation_id}.log"

    @staticmethod
    def is_alive(ref: str) -> bool | None:
        """Whether a worker is running; None when only its lease can tell (another host)."""
        process = _process(ref)
        if process is None:
            return None
        pid, created = process
        try:
            found = psutil.Process(pid)
            return abs(found.create_time() - created) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @classmethod
    def kill(cls, ref: str) -> None:
        """End a worker that did not stop by itself in its grace period."""
        process = _process(ref)
        if process is not None and cls.is_alive(ref):
            os.kill(process[0], signal.SIGKILL)


def _process(ref: str) -> tuple[int, float] | None:
    kind, host, pid, created = ref.split(":")
    if kind != "local" or host != socket.gethostname():
        return None
    return int(pid), float(created)
