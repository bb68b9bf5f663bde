"""What an engine can do: start, look at, stop and kill the process of an operation. Nothing else.

An engine keeps no truth. It is asked about a reference that stands on the operation's row, and a
backend that has just started may ask about one that another backend was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ktrdr.domain.operations import Operation

KILLED = 128 + 9  # what a shell reports for SIGKILL


class Presence(StrEnum):
    """What an engine says of a reference."""

    ALIVE = "alive"  # queued, starting or running
    ENDED = "ended"
    ABSENT = "absent"  # the engine answers, and does not know it
    UNKNOWN = "unknown"  # the engine can't be asked: only the lease can tell


@dataclass(frozen=True)
class Sighting:
    """A look at a worker; `exit_status` (a signal as 128 + its number) only where the engine knows it."""

    presence: Presence
    exit_status: int | None = None
    code: str | None = None  # the engine's own reason, as a stable code
    message: str = ""


ALIVE, ABSENT, UNKNOWN = (Sighting(one) for one in (Presence.ALIVE, Presence.ABSENT, Presence.UNKNOWN))


class OperationExecutor(Protocol):
    """One engine. `tests/contract/executors.py` is what every implementation has to pass."""

    @property
    def slots(self) -> int | None:
        """CPUs that this backend shares out among its workers; None when the engine has a queue itself."""

    @property
    def poll_seconds(self) -> float:
        """How often the dispatcher looks."""

    def holds(self, ref: str) -> bool:
        """Whether a reference takes up slots here."""

    async def submit(self, operation: Operation) -> str:
        """Start a worker for a PENDING operation; returns its reference.

        Submitting the same queueing twice starts one worker, or two of which one finds nothing to
        claim. Raises ExecutorUnavailable when it is worth trying again, StepFailed when it is not.
        """

    async def look(self, ref: str) -> Sighting:
        """Whether the worker is there; never raises for an engine that can't be reached."""

    async def terminate(self, ref: str) -> None:
        """Ask it to save its checkpoint and stop (SIGTERM)."""

    async def kill(self, ref: str) -> None:
        """End it now."""

    async def log(self, operation: Operation, last_bytes: int) -> str | None:
        """The end of the output of the operation's workers, or None without any."""

    async def collect(self) -> None:
        """Take note of the workers that have exited; leaves no zombie."""

    async def close(self) -> None:
        """Let go of connections; the workers go on."""
