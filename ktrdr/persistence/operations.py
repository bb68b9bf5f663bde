"""Operations in the database. Every status write is guarded by the transition table."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.errors import OperationNotFound
from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import (
    RESUMABLE,
    Event,
    NewOperation,
    Operation,
    OperationType,
    Progress,
    Status,
)
from ktrdr.persistence.events import Events
from ktrdr.persistence.tables import db_now, operations
from ktrdr.persistence.transitions import (
    as_operation,
    has_checkpoint,
    progress_values,
    running_attempt,
    transition,
    written,
)

_columns = operations.c
_ADVANCE = running_attempt(bindparam("of"), bindparam("at")).values(
    **{name: bindparam(name) for name in progress_values(Progress())}
)
_CAPACITY_LOCK = 0x6B7472  # any constant: the advisory lock of "how many sessions are active"


@dataclass(frozen=True)
class Heartbeat:
    """What a runner learns when it renews its lease."""

    cancel_requested: bool


class Operations:
    """The rows of `operations`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._events = Events(connection)

    async def insert_if_absent(self, new: NewOperation) -> bool:
        """Record a PENDING operation; False when its id is there already (a replayed phase)."""
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(operations).values(
            operation_id=new.operation_id,
            operation_type=new.operation_type.value,
            status=Status.PENDING.value,
            is_backend_local=new.is_backend_local,
            parent_operation_id=new.parent_operation_id,
            request=finite(new.request),
            attempt=0,
            owner=new.owner,
            progress_percent=0.0,
            progress_message="",
            num_cpus=new.resources.num_cpus,
            num_gpus=new.resources.num_gpus,
            revision=1,
            created_at=db_now(),
            queued_at=db_now(),
            updated_at=db_now(),
        )
        return await self._recorded(new.operation_id, statement.on_conflict_do_nothing())

    async def get(self, operation_id: str) -> Operation:
        """Raises OperationNotFound."""
        found = await self.find(operation_id)
        if found is None:
            raise OperationNotFound(operation_id)
        return found

    async def locked(self, operation_id: str) -> Operation:
        """The same, and nobody else writes or locks the row before this transaction ends.

        SQLite's one writer needs no lock. Raises OperationNotFound.
        """
        query = select(operations).where(_columns.operation_id == operation_id).with_for_update()
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise OperationNotFound(operation_id)
        return as_operation(row)

    async def find(self, operation_id: str) -> Operation | None:
        query = select(operations).where(_columns.operation_id == operation_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else as_operation(row)

    async def list(
        self,
        *,
        status: Status | None = None,
        operation_type: OperationType | None = None,
        resumable: bool | None = None,
        parent: str | None = None,
        limit: int = 1000,
    ) -> builtins.list[Operation]:
        """Newest first."""
        query = select(operations).order_by(_columns.created_at.desc(), _columns.operation_id).limit(limit)
        if status is not None:
            query = query.where(_columns.status == status.value)
        if operation_type is not None:
            query = query.where(_columns.operation_type == operation_type.value)
        if parent is not None:
            query = query.where(_columns.parent_operation_id == parent)
        if resumable is not None:
            can = and_(_columns.status.in_(sorted(RESUMABLE)), has_checkpoint())
            query = query.where(can if resumable else ~can)
        return await self._fetch(query)

    async def claim(
        self, operation_id: str, owner: str, executor_ref: str | None, lease_seconds: float | None
    ) -> Operation | None:
        """The one door into RUNNING; raises the attempt. None: somebody else went through."""
        statement = (
            self._guarded(operation_id, Event.CLAIM)
            .values(
                attempt=_columns.attempt + 1,
                owner=owner,
                executor_ref=executor_ref,
                lease_expires_at=None if lease_seconds is None else db_now() + lease_seconds,
                heartbeat_at=db_now(),
                started_at=func.coalesce(_columns.started_at, db_now()),
            )
            .returning(operations)
        )
        row = (await self._connection.execute(statement)).mappings().one_or_none()
        if row is None:
            return None
        await self._events.record(operation_id)
        return as_operation(row)

    async def advance(
        self, operation_id: str, attempt: int, progress: Progress, *, milestone: bool = False
    ) -> bool:
        """Write progress, a milestone (a phase) as an event too; False when fenced."""
        values = {**progress_values(progress), "of": operation_id, "at": attempt}
        advanced = (await self._connection.execute(_ADVANCE, values)).rowcount == 1
        if advanced and milestone:
            await self._events.record(operation_id)
        return advanced

    async def heartbeat(
        self, operation_id: str, attempt: int, progress: Progress, lease_seconds: float
    ) -> Heartbeat | None:
        """Renew the lease with the progress; None: fenced, stop and write nothing."""
        statement = (
            running_attempt(operation_id, attempt)
            .values(
                **progress_values(progress), heartbeat_at=db_now(), lease_expires_at=db_now() + lease_seconds
            )
            .returning(_columns.cancel_requested_at)
        )
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else Heartbeat(row[0] is not None)

    async def finish(
        self,
        operation_id: str,
        attempt: int,
        event: Event,
        *,
        result: Mapping[str, Any] | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        error_details: Mapping[str, Any] | None = None,
    ) -> bool:
        """End an attempt (COMPLETE, FAIL or CANCEL); False when it is not this attempt's to end."""
        values: dict[str, Any] = {
            "result": finite(result),
            "error_code": error_code,
            "error_message": error_message,
            "error_details": finite(error_details),
            "completed_at": db_now(),
            "lease_expires_at": None,
        }
        if event is Event.COMPLETE:
            values |= {"progress_percent": 100.0, "progress_message": "completed"}
        # A requeue leaves the attempt as it was until the claim, so the attempt alone is no fence.
        statement = (
            self._guarded(operation_id, event)
            .where(_columns.attempt == attempt, _columns.status == Status.RUNNING.value)
            .values(**values)
        )
        return await self._write(statement)

    async def request_cancel(self, operation_id: str) -> bool:
        """Set the flag that a runner reads; asking twice is asking once."""
        statement = (
            update(operations)
            .where(_columns.operation_id == operation_id, _columns.status == Status.RUNNING.value)
            .values(cancel_requested_at=func.coalesce(_columns.cancel_requested_at, db_now()), **written())
        )
        return await self._write(statement)

    async def cancel_pending(self, operation_id: str) -> bool:
        """Cancel what nobody runs yet, at once."""
        statement = (
            self._guarded(operation_id, Event.CANCEL)
            .where(_columns.status == Status.PENDING.value)
            .values(error_message="Cancelled before it began", completed_at=db_now())
        )
        return await self._write(statement)

    async def requeue(self, operation_id: str, owner: str | None) -> bool:
        """Back to PENDING for a resume; exactly one of any number of callers gets True."""
        await self._events.record(operation_id, only_if=RESUMABLE)  # how it had ended
        statement = self._guarded(operation_id, Event.RESUME).values(
            owner=owner,
            executor_ref=None,
            lease_expires_at=None,
            cancel_requested_at=None,
            error_code=None,
            error_message=None,
            error_details=None,
            completed_at=None,
            queued_at=db_now(),
        )
        return await self._recorded(operation_id, statement)

    async def active_sessions(self, exclude: str = "") -> builtins.list[Operation]:
        """Sessions that hold capacity: PENDING or RUNNING."""
        query = (
            select(operations)
            .where(
                _columns.operation_type == OperationType.AGENT_RESEARCH.value,
                _columns.status.in_([Status.PENDING.value, Status.RUNNING.value]),
                _columns.operation_id != exclude,
            )
            .order_by(_columns.created_at)
        )
        return await self._fetch(query)

    async def lock_capacity(self) -> None:
        """Serialise capacity checks until commit. SQLite's one writer does that by itself."""
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(text(f"SELECT pg_advisory_xact_lock({_CAPACITY_LOCK})"))

    async def counts(self) -> dict[tuple[str, str], int]:
        """(type, status) → number."""
        query = select(_columns.operation_type, _columns.status, func.count()).group_by(
            _columns.operation_type, _columns.status
        )
        return {(row[0], row[1]): row[2] for row in await self._connection.execute(query)}

    async def _write(self, statement: Any) -> bool:
        """False when the guard found no row: the race was lost."""
        done: bool = (await self._connection.execute(statement)).rowcount == 1
        return done

    async def _recorded(self, operation_id: str, statement: Any) -> bool:
        """A write that changes the status: it leaves an event."""
        done = await self._write(statement)
        if done:
            await self._events.record(operation_id)
        return done

    @staticmethod
    def _guarded(operation_id: str, event: Event) -> Any:
        return transition(event).where(_columns.operation_id == operation_id)

    async def _fetch(self, query: Any) -> builtins.list[Operation]:
        return [as_operation(row) for row in (await self._connection.execute(query)).mappings()]
