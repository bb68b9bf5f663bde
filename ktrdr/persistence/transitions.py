"""The guarded UPDATEs of `operations`, made from the transition table, and the row as an Operation."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, RowMapping, case, exists, update
from sqlalchemy.sql.elements import ColumnElement

from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import (
    TRANSITIONS,
    Event,
    Operation,
    OperationType,
    Progress,
    Resources,
    Status,
    orphan_message,
)
from ktrdr.persistence.tables import checkpoints, db_now, operations

_columns = operations.c


def transition(event: Event) -> Any:
    """The UPDATE of one event: it finds only the statuses that the table allows."""
    allowed = TRANSITIONS[event]
    return (
        update(operations)
        .where(_columns.status.in_(sorted(allowed.sources)))
        .values(status=allowed.target.value, **written())
    )


def running_attempt(operation_id: str | BindParameter[Any], attempt: int | BindParameter[Any]) -> Any:
    """The fence: an UPDATE that finds only the attempt that is RUNNING."""
    return (
        update(operations)
        .where(
            _columns.operation_id == operation_id,
            _columns.attempt == attempt,
            _columns.status == Status.RUNNING.value,
        )
        .values(**written())
    )


def written() -> dict[str, Any]:
    """What every write of a row changes."""
    return {"updated_at": db_now(), "revision": _columns.revision + 1}


def ended(cause: str, code: str) -> dict[str, Any]:
    """The values of an operation whose process is gone; the message says whether a checkpoint is there."""
    message: ColumnElement[str] = case(
        (has_checkpoint(), orphan_message(cause, has_checkpoint=True)),
        else_=orphan_message(cause, has_checkpoint=False),
    )
    return {
        "error_code": code,
        "error_message": message,
        "completed_at": db_now(),
        "lease_expires_at": None,
    }


def has_checkpoint() -> ColumnElement[bool]:
    return exists().where(checkpoints.c.operation_id == _columns.operation_id)


def progress_values(progress: Progress) -> dict[str, Any]:
    return {
        "progress_percent": progress.percent,
        "progress_message": progress.message,
        "progress": finite(progress.detail),
    }


def as_operation(row: RowMapping) -> Operation:
    values = dict(row)
    progress = Progress(
        values.pop("progress_percent"), values.pop("progress_message"), values.pop("progress") or {}
    )
    resources = Resources(values.pop("num_cpus"), values.pop("num_gpus"))
    values.pop("heartbeat_at")
    values["operation_type"] = OperationType(values["operation_type"])
    values["status"] = Status(values["status"])
    return Operation(**values, progress=progress, resources=resources)
