"""What happened to an operation, in order: a row for each status and each phase, never for a heartbeat.

A reader who was away asks for what came after the last revision it saw. How an operation ended stands
on its own row, so that is copied here only when a resume leaves it: a restart that fails ten thousand
operations writes each of them once. Progress between two events is a state, not a history.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.operations import Status
from ktrdr.persistence.tables import events, operations

_COPIED = (
    "operation_id",
    "revision",
    "status",
    "attempt",
    "progress_percent",
    "progress_message",
    "error_code",
    "error_message",
)


@dataclass(frozen=True)
class OperationEvent:
    """An operation as it was when its status or phase changed. Time is the database's."""

    operation_id: str
    revision: int
    status: Status
    attempt: int
    progress_percent: float
    progress_message: str
    error_code: str | None
    error_message: str | None
    created_at: float


@cache
def _record(dialect_name: str, statuses: frozenset[Status]) -> Any:
    """Made once: to make it takes as long as to run it."""
    dialect: Any = sqlite if dialect_name == "sqlite" else postgresql
    copied = select(*(operations.c[name] for name in _COPIED), operations.c.updated_at)
    copied = copied.where(operations.c.operation_id == bindparam("recorded"))
    if statuses != frozenset(Status):
        copied = copied.where(operations.c.status.in_(sorted(statuses)))
    return dialect.insert(events).from_select([*_COPIED, "created_at"], copied).on_conflict_do_nothing()


class Events:
    """The rows of `operation_events`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(self, operation_id: str, *, only_if: frozenset[Status] = frozenset(Status)) -> None:
        """Keep the operation as it is now, if it has one of the statuses; once for a revision."""
        statement = _record(self._connection.dialect.name, only_if)
        await self._connection.execute(statement, {"recorded": operation_id})

    async def after(self, operation_id: str, revision: int) -> builtins.list[OperationEvent]:
        """What happened since a revision, oldest first."""
        query = (
            select(events)
            .where(events.c.operation_id == operation_id, events.c.revision > revision)
            .order_by(events.c.revision)
        )
        rows = (await self._connection.execute(query)).mappings()
        return [OperationEvent(**{**row, "status": Status(row["status"])}) for row in rows]
