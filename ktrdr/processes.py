"""Which process of which machine: a name for one that no later process can have."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import psutil

PROC = Path("/proc")


def process_reference(pid: int | None = None) -> str:
    """`local:host:pid:start` of a process: a pid alone may be somebody else's tomorrow."""
    process = psutil.Process(pid)
    return f"local:{socket.gethostname()}:{process.pid}:{_start_of(process)}"


def is_alive(ref: str) -> bool | None:
    """Whether the process of a reference is running; None when this machine can't tell (another host)."""
    pid = pid_of(ref)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        return _start_of(process) == ref.split(":")[3] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_stopped(ref: str) -> bool:
    """True for a process of this machine that SIGSTOP, a debugger or a terminal holds."""
    try:
        return is_alive(ref) is True and psutil.Process(pid_of(ref)).status() in (
            psutil.STATUS_STOPPED,
            psutil.STATUS_TRACING_STOP,
        )
    except psutil.NoSuchProcess:
        return False


def pid_of(ref: str) -> int | None:
    """The process id in a reference; None when it is no process of this machine."""
    kind, *rest = ref.split(":")
    return int(rest[1]) if kind == "local" and rest[0] == socket.gethostname() else None


def _start_of(process: psutil.Process) -> str:
    """When it started, by a clock that nobody sets.

    Linux counts ticks since the boot, and `psutil` adds the boot's time of day, which moves whenever
    the clock is set: a process would look like another one then. So: the ticks, and which boot it was.
    """
    with suppress(OSError, IndexError):
        fields = (PROC / str(process.pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (PROC / "sys/kernel/random/boot_id").read_text()[:8]
        return f"{fields[19]}@{boot}"
    return f"{process.create_time():.2f}"  # elsewhere the kernel keeps the time of day of the start
