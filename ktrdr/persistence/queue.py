"""The queue of worker operations: PENDING rows in the order in which they were put there.

A row that waits has no `executor_ref`. One that was started and has not claimed yet has it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import Event, Operation, Status
from ktrdr.persistence.tables import db_now, operations
from ktrdr.persistence.transitions import as_operation, transition, written

_columns = operations.c
_waits = (_columns.status == Status.PENDING.value, ~_columns.is_backend_local)
_runs = (_columns.status == Status.RUNNING.value, ~_columns.is_backend_local)


class Queue:
    """Worker operations that wait or run, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def waiting(self, limit: int) -> builtins.list[Operation]:
        """Not started yet, first come first served."""
        query = (
            select(operations)
            .where(*_waits, _columns.executor_ref.is_(None))
            .order_by(_columns.queued_at, _columns.operation_id)
            .limit(limit)
        )
        return await self._fetch(query)

    async def starting(self) -> builtins.list[Operation]:
        """Started, and not claimed by their worker yet."""
        return await self._fetch(select(operations).where(*_waits, _columns.executor_ref.is_not(None)))

    async def running(self) -> builtins.list[Operation]:
        """Claimed by a worker."""
        return await self._fetch(select(operations).where(*_runs))

    async def asked_to_stop(self) -> builtins.list[Operation]:
        """Running, although a cancel was requested."""
        return await self._fetch(select(operations).where(*_runs, _columns.cancel_requested_at.is_not(None)))

    async def positions(self, operation_ids: builtins.list[str]) -> dict[str, int]:
        """The place in the queue, from 1, of those that wait."""
        if not operation_ids:
            return {}
        order = func.row_number().over(order_by=(_columns.queued_at, _columns.operation_id))
        places = (
            select(_columns.operation_id, order.label("position"))
            .where(*_waits, _columns.executor_ref.is_(None))
            .subquery()
        )
        query = select(places).where(places.c.operation_id.in_(operation_ids))
        return {row[0]: row[1] for row in await self._connection.execute(query)}

    async def started(self, operation: Operation, executor_ref: str) -> bool:
        """Note the process or job that was started; False when the row has moved on meanwhile."""
        statement = update(operations).where(*_same(operation))
        return await self._write(statement.values(executor_ref=executor_ref, **written()))

    async def release(self, operation: Operation) -> bool:
        """Put a started one back, its place kept: whoever was started for it is gone or silent."""
        return await self._write(
            update(operations).where(*_same(operation)).values(executor_ref=None, **written())
        )

    async def fail_start(
        self, operation: Operation, error_code: str, error_message: str, details: Mapping[str, Any] | None
    ) -> bool:
        """Fail an operation that could not be started, and is still PENDING as it was read."""
        statement = (
            transition(Event.FAIL)
            .where(*_same(operation))
            .values(
                error_code=error_code,
                error_message=error_message,
                error_details=finite(details),
                completed_at=db_now(),
            )
        )
        return await self._write(statement)

    async def _write(self, statement: Any) -> bool:
        done: bool = (await self._connection.execute(statement)).rowcount == 1
        return done

    async def _fetch(self, query: Any) -> builtins.list[Operation]:
        return [as_operation(row) for row in (await self._connection.execute(query)).mappings()]


def _same(operation: Operation) -> tuple[Any, ...]:
    """Still PENDING as it was read: a claim, a cancel or another queueing has another revision."""
    return (
        _columns.operation_id == operation.operation_id,
        _columns.status == Status.PENDING.value,
        _columns.revision == operation.revision,
    )
