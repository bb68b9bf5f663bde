"""The error tree. Each class has one stable code; `api/errors.py` maps classes to HTTP once.

KtrdrError
├── NotFound
│   ├── OperationNotFound        OPERATION_NOT_FOUND
│   ├── SessionNotFound          SESSION_NOT_FOUND
│   ├── CampaignNotFound         CAMPAIGN_NOT_FOUND
│   ├── LogNotFound              LOG_NOT_FOUND
│   ├── HistoryNotFound          HISTORY_NOT_FOUND
│   ├── ReportNotFound           REPORT_NOT_FOUND
│   ├── StrategyNotFound         STRATEGY_NOT_FOUND
│   ├── NoSuchDataset            DATASET_NOT_FOUND
│   └── CheckpointNotFound       CHECKPOINT_NOT_FOUND
├── Conflict
│   ├── OperationNotResumable    OPERATION_NOT_RESUMABLE
│   ├── OperationNotCancellable  OPERATION_NOT_CANCELLABLE
│   ├── ResumeConflict           RESUME_CONFLICT
│   ├── CheckpointIncompatible   CHECKPOINT_INCOMPATIBLE
│   ├── CheckpointInUse          CHECKPOINT_IN_USE
│   ├── DatasetExists            DATASET_EXISTS
│   ├── PhaseNotFinished         PHASE_NOT_FINISHED
│   ├── GateNotPassed            GATE_NOT_PASSED
│   └── SessionActive            SESSION_ACTIVE
├── InvalidInput                 VALIDATION_ERROR
│   ├── DatasetNotFound          DATASET_NOT_FOUND
│   ├── ImportRefused            IMPORT_REFUSED
│   └── ExtraNotInstalled        EXTRA_NOT_INSTALLED
├── CheckpointCorrupted          CHECKPOINT_CORRUPTED
├── DatasetCorrupted             DATASET_CORRUPTED
├── FileTooLarge                 FILE_TOO_LARGE
├── BudgetExhausted              BUDGET_EXHAUSTED
├── DataProcessFailed            DATA_PROCESS_FAILED
├── DownloadFailed               DOWNLOAD_FAILED
├── DatabaseUnavailable          DATABASE_UNAVAILABLE
├── ExecutorUnavailable          EXECUTOR_UNAVAILABLE
├── RefusedToStart               REFUSED_TO_START
└── StepFailed                   a phase's or worker's own code, kept on the operation's row
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class KtrdrError(Exception):
    """What happened and what to do next, under a code that never changes."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = dict(details or {})


class NotFound(KtrdrError):
    """The thing named does not exist."""


class OperationNotFound(NotFound):
    code = "OPERATION_NOT_FOUND"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"There is no operation '{operation_id}'. GET /api/v1/operations lists those there are.",
            {"operation_id": operation_id},
        )


class SessionNotFound(NotFound):
    code = "SESSION_NOT_FOUND"

    def __init__(self, session_id: int) -> None:
        super().__init__(
            f"There is no session {session_id}. GET /api/v1/agent/sessions lists those there are.",
            {"session_id": session_id},
        )


class CampaignNotFound(NotFound):
    code = "CAMPAIGN_NOT_FOUND"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"There is no campaign '{operation_id}'. GET /api/v1/agent/campaigns lists those there are.",
            {"operation_id": operation_id},
        )


class CheckpointNotFound(NotFound):
    code = "CHECKPOINT_NOT_FOUND"

    def __init__(self, operation_id: str) -> None:
        reasons = [
            "the operation completed (its checkpoint is deleted with COMPLETED)",
            "the operation stopped before its first checkpoint",
            "the checkpoint was deleted or cleaned up",
        ]
        super().__init__(
            f"Operation '{operation_id}' has no checkpoint. Start it anew if its work is still wanted.",
            {"operation_id": operation_id, "possible_reasons": reasons},
        )


class LogNotFound(NotFound):
    code = "LOG_NOT_FOUND"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"Operation '{operation_id}' has no worker log: no worker was started for it yet, or it runs "
            "in the backend itself.",
            {"operation_id": operation_id},
        )


class HistoryNotFound(NotFound):
    code = "HISTORY_NOT_FOUND"

    def __init__(self, operation_id: str, why: str) -> None:
        super().__init__(
            f"Operation '{operation_id}' has no history of epochs: {why}", {"operation_id": operation_id}
        )


class ReportNotFound(NotFound):
    code = "REPORT_NOT_FOUND"

    def __init__(self, operation_id: str, why: str) -> None:
        super().__init__(
            f"Operation '{operation_id}' has no such report: {why}", {"operation_id": operation_id}
        )


class StrategyNotFound(NotFound):
    code = "STRATEGY_NOT_FOUND"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = ", ".join(known[:20]) or "none yet"
        super().__init__(
            f"There is no strategy file '{name}.yaml' in the home's strategies folder. There: {there}.",
            {"name": name},
        )


class NoSuchDataset(NotFound):
    """A data set that is asked for by its address."""

    code = "DATASET_NOT_FOUND"


class Conflict(KtrdrError):
    """The request is sound, but not in the present state; nothing was changed."""


class OperationNotResumable(Conflict):
    code = "OPERATION_NOT_RESUMABLE"


class OperationNotCancellable(Conflict):
    code = "OPERATION_NOT_CANCELLABLE"


class ResumeConflict(Conflict):
    code = "RESUME_CONFLICT"


class CheckpointIncompatible(Conflict):
    code = "CHECKPOINT_INCOMPATIBLE"


class CheckpointInUse(Conflict):
    code = "CHECKPOINT_IN_USE"


class SessionActive(Conflict):
    code = "SESSION_ACTIVE"

    def __init__(self, capacity: int, active: Sequence[tuple[str, int]]) -> None:
        named = ", ".join(str(session_id) for _, session_id in active)
        super().__init__(
            f"{len(active)} of {capacity} sessions are active (session {named}). Wait, cancel one, "
            "or raise KTRDR_MAX_ACTIVE_SESSIONS.",
            {"active": [{"operation_id": one, "session_id": session_id} for one, session_id in active]},
        )


class DatasetExists(Conflict):
    code = "DATASET_EXISTS"


class PhaseNotFinished(Conflict):
    """A session is forked from a phase that it has not come to."""

    code = "PHASE_NOT_FINISHED"


class GateNotPassed(Conflict):
    """What a fork would begin with does not pass the gate before it."""

    code = "GATE_NOT_PASSED"


class InvalidInput(KtrdrError):
    code = "VALIDATION_ERROR"


class DatasetNotFound(InvalidInput):
    """A data set that is not known, or whose file is gone."""

    code = "DATASET_NOT_FOUND"


class ImportRefused(InvalidInput):
    """A file that was not imported; `details` has the rows that are wrong, by line."""

    code = "IMPORT_REFUSED"


class ExtraNotInstalled(InvalidInput):
    """An optional library is missing; the message has the command that installs it."""

    code = "EXTRA_NOT_INSTALLED"


class CheckpointCorrupted(KtrdrError):
    """Something is stored, but it is not what was saved. Never reported as missing."""

    code = "CHECKPOINT_CORRUPTED"


class DatasetCorrupted(KtrdrError):
    """A data set is stored, but it is not what was imported. Never reported as missing."""

    code = "DATASET_CORRUPTED"

    def __init__(self, key: str, what: str) -> None:
        super().__init__(
            f"The data set '{key}' is damaged: {what}. Import it again with --replace.", {"key": key}
        )


class FileTooLarge(KtrdrError):
    code = "FILE_TOO_LARGE"


class BudgetExhausted(KtrdrError):
    """What the language model may cost is spent."""

    code = "BUDGET_EXHAUSTED"


class DataProcessFailed(KtrdrError):
    """The process that reads data for the backend ended without an answer."""

    code = "DATA_PROCESS_FAILED"


def error_of(code: str, message: str, details: Mapping[str, object]) -> KtrdrError:
    """An error that another process raised, by its code; one of an unknown code is that process's failure."""
    known = (InvalidInput, ImportRefused, ExtraNotInstalled, DatasetExists, DatasetNotFound, DatasetCorrupted)
    more = (CheckpointCorrupted, DownloadFailed)
    kinds: dict[str, type[KtrdrError]] = {kind.code: kind for kind in (*known, *more)}
    kind = kinds.get(code, DataProcessFailed)
    error = kind.__new__(kind)
    KtrdrError.__init__(error, message, details)
    return error


class DownloadFailed(KtrdrError):
    """A data provider did not give what was asked for."""

    code = "DOWNLOAD_FAILED"


class DatabaseUnavailable(KtrdrError):
    code = "DATABASE_UNAVAILABLE"


class ExecutorUnavailable(KtrdrError):
    """The engine that starts workers can't be reached; worth trying again."""

    code = "EXECUTOR_UNAVAILABLE"


class RefusedToStart(KtrdrError):
    """The backend will not start; the message says who is in the way or what to set."""

    code = "REFUSED_TO_START"


class StepFailed(KtrdrError):
    """A phase or a worker could not go on. Its own code ends up on the operation's row."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.step_code = code
