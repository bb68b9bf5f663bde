"""Workers as detached processes of this machine: they outlive the backend that started them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import Operation
from ktrdr.processes import is_alive, pid_of, process_reference
from ktrdr.workers.executors.executor import ABSENT, ALIVE, UNKNOWN, Presence, Sighting
from ktrdr.workers.logs import log_path, read_end
from ktrdr.workers.threads import thread_variables

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
REMEMBERED_EXITS = 1000


class LocalExecutor:
    """Starts, looks at and stops worker processes; knows nothing of what they do."""

    poll_seconds = 0.5

    def __init__(self, logs: Path, environment: Mapping[str, str], slots: int) -> None:
        self.slots: int | None = slots
        self._logs = logs
        self._environment = environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._exits: OrderedDict[str, int] = OrderedDict()

    def holds(self, ref: str) -> bool:
        """Whether a reference names a process of this machine."""
        return pid_of(ref) is not None

    async def submit(self, operation: Operation) -> str:
        """Start a worker in a session of its own, its output in the operation's log."""
        if operation.resources.num_gpus > 0:
            raise StepFailed(
                "RESOURCES_UNAVAILABLE",
                "Local workers are given no GPUs; ask for none, or set KTRDR_EXECUTOR=ray.",
            )
        try:
            child = await asyncio.to_thread(self._start, operation)
            ref = process_reference(child.pid)
        except OSError as error:
            raise StepFailed("WORKER_START_FAILED", f"The worker could not be started: {error}.") from error
        self._children[ref] = child
        return ref

    def _start(self, operation: Operation) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        path = log_path(self._logs, operation.operation_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ktrdr.workers", "--operation-id", operation.operation_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, **thread_variables(operation.resources), **self._environment},
                start_new_session=True,
            )

    async def look(self, ref: str) -> Sighting:
        """A child of this backend is known by its exit, one of its predecessor by pid and start time."""
        await self.collect()
        if ref in self._exits:
            status = self._exits[ref]
            return Sighting(Presence.ENDED, 128 - status if status < 0 else status)
        if ref in self._children:  # one that dies right now is a zombie first: its exit is for the next look
            return ALIVE
        if not ref.startswith("local:"):
            return ABSENT
        alive = is_alive(ref)
        if alive is None:
            return UNKNOWN
        return ALIVE if alive else Sighting(Presence.ENDED)

    async def terminate(self, ref: str) -> None:
        await self._signal(ref, signal.SIGTERM)

    async def kill(self, ref: str) -> None:
        await self._signal(ref, signal.SIGKILL)

    async def _signal(self, ref: str, number: signal.Signals) -> None:
        pid = pid_of(ref)
        if pid is not None and (await self.look(ref)).presence is Presence.ALIVE:
            os.kill(pid, number)

    async def log(self, operation: Operation, last_bytes: int) -> str | None:
        return await asyncio.to_thread(read_end, log_path(self._logs, operation.operation_id), last_bytes)

    async def collect(self) -> None:
        for ref, child in [*self._children.items()]:
            status = child.poll()
            if status is not None:
                del self._children[ref]
                self._exits[ref] = status
        while len(self._exits) > REMEMBERED_EXITS:
            self._exits.popitem(last=False)

    async def close(self) -> None:
        """Nothing to let go of."""
