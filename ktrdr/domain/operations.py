"""Operations and the one table of their transitions.

Every status write in the product is `UPDATE … WHERE status IN (TRANSITIONS[event].sources)`; the
state diagram in the docs and the model of the property test are made from the same table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# One pattern for every id, name and data set key, checked before any of them touches a path.
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"
KEY_MAX_LENGTH = 120


def is_safe_key(text: str) -> bool:
    """True for an id that can be part of a path: no separator, no `..`, no leading dot."""
    return len(text) <= KEY_MAX_LENGTH and re.fullmatch(KEY_PATTERN, text) is not None


class Status(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class OperationType(StrEnum):
    AGENT_RESEARCH = "agent_research"
    TRAINING = "training"
    BACKTESTING = "backtesting"
    CAMPAIGN = "campaign"


class Event(StrEnum):
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    ORPHAN = "orphan"
    CANCEL = "cancel"
    RESUME = "resume"


@dataclass(frozen=True)
class Transition:
    """The statuses an event may find, and the status it leaves."""

    sources: frozenset[Status]
    target: Status


TRANSITIONS: Mapping[Event, Transition] = {
    # The one door into RUNNING; it also raises the attempt, which fences every earlier runner.
    Event.CLAIM: Transition(frozenset({Status.PENDING}), Status.RUNNING),
    Event.COMPLETE: Transition(frozenset({Status.RUNNING}), Status.COMPLETED),
    # PENDING can fail too: a worker that dies before it could claim.
    Event.FAIL: Transition(frozenset({Status.PENDING, Status.RUNNING}), Status.FAILED),
    # Its process is gone: a restarted backend, an expired lease.
    Event.ORPHAN: Transition(frozenset({Status.RUNNING}), Status.FAILED),
    Event.CANCEL: Transition(frozenset({Status.PENDING, Status.RUNNING}), Status.CANCELLED),
    # Resume only re-queues; the claim does the rest.
    Event.RESUME: Transition(frozenset({Status.FAILED, Status.CANCELLED}), Status.PENDING),
}

TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
RESUMABLE = TRANSITIONS[Event.RESUME].sources
CANCELLABLE = TRANSITIONS[Event.CANCEL].sources

WORKER_LEASE_SECONDS = 30.0  # longer than the longest call that holds up a worker's heartbeat

BACKEND_RESTARTED = "Backend restarted"
WORKER_UNAVAILABLE = "Worker became unavailable"
GRACEFUL_SHUTDOWN = "Graceful shutdown - checkpoint saved"
CANCELLED = "Cancelled - checkpoint saved"
KILLED_AFTER_GRACE = "Cancelled - the worker did not stop in time and was killed"


def orphan_message(cause: str, *, has_checkpoint: bool) -> str:
    """The sentence an operation is failed with when its process is gone."""
    found = "checkpoint available for resume" if has_checkpoint else "no checkpoint available"
    return f"{cause} - {found}"


def apply(status: Status, event: Event) -> Status | None:
    """The status after `event`, or None when the event may not happen in `status`."""
    transition = TRANSITIONS[event]
    return transition.target if status in transition.sources else None


def state_diagram() -> str:
    """The transition table as a Mermaid state diagram (docs/architecture.md holds its output)."""
    lines = ["stateDiagram-v2", "    [*] --> PENDING"]
    for event, transition in TRANSITIONS.items():
        for source in sorted(transition.sources):
            lines.append(f"    {source} --> {transition.target}: {event}")
    lines.append(f"    {Status.COMPLETED} --> [*]")
    return "\n".join(lines)


def training_id(session_operation_id: str) -> str:
    """The id of a session's training: the same each time, so that a replay finds its child."""
    return f"{session_operation_id}.training"


def backtest_id(session_operation_id: str) -> str:
    """The id of a session's validation backtest."""
    return f"{session_operation_id}.backtesting"


def holdout_id(session_operation_id: str) -> str:
    """The id of a session's one exam on the sealed holdout."""
    return f"{session_operation_id}.holdout"


@dataclass(frozen=True)
class Progress:
    """How far an operation is; `detail` holds numbers for people (epoch, bar, loss)."""

    percent: float = 0.0
    message: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """What one worker is given: CPUs (threads, and slots on one machine) and GPUs."""

    num_cpus: int = 1
    num_gpus: float = 0.0


@dataclass(frozen=True)
class NewOperation:
    """What is written once when an operation is created."""

    operation_id: str
    operation_type: OperationType
    request: Mapping[str, Any]
    is_backend_local: bool = False
    parent_operation_id: str | None = None
    owner: str | None = None
    resources: Resources = Resources()


@dataclass(frozen=True)
class Operation:
    """One row of `operations`. Times are seconds since 1970 by the database's clock.

    `executor_ref` names the process or job that was started for it: in PENDING it has not claimed yet.
    `revision` grows by one at every write of the row.
    """

    operation_id: str
    operation_type: OperationType
    status: Status
    is_backend_local: bool
    parent_operation_id: str | None
    request: Mapping[str, Any]
    attempt: int
    owner: str | None
    executor_ref: str | None
    lease_expires_at: float | None
    cancel_requested_at: float | None
    progress: Progress
    result: Mapping[str, Any] | None
    error_code: str | None
    error_message: str | None
    error_details: Mapping[str, Any] | None
    resources: Resources
    revision: int
    created_at: float
    queued_at: float
    started_at: float | None
    completed_at: float | None
    updated_at: float
