"""Operations in the database. Every status write is guarded by the transition table."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, and_, case, exists, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from ktrdr.domain.errors import OperationNotFound
from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import (
    BACKEND_RESTARTED,
    RESUMABLE,
    TRANSITIONS,
    WORKER_UNAVAILABLE,
    Event,
    NewOperation,
    Operation,
    OperationType,
    Progress,
    Status,
    orphan_message,
)
from ktrdr.persistence.tables import checkpoints, db_now, instances, operations

_columns = operations.c
# An instance whose backend has not renewed its lease for this long is gone for good (renamed, say).
ABANDONED_SECONDS = 300.0
_CAPACITY_LOCK = 0x6B7472  # any constant: the advisory lock of "how many sessions are active"


@dataclass(frozen=True)
class Heartbeat:
    """What a runner learns when it renews its lease."""

    cancel_requested: bool


@dataclass(frozen=True)
class Orphaned:
    """How many operations a restart failed."""

    with_checkpoint: int
    without_checkpoint: int


class Operations:
    """The rows of `operations`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

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
            created_at=db_now(),
            updated_at=db_now(),
        )
        result = await self._connection.execute(statement.on_conflict_do_nothing())
        return bool(result.rowcount == 1)

    async def get(self, operation_id: str) -> Operation:
        """Raises OperationNotFound."""
        found = await self.find(operation_id)
        if found is None:
            raise OperationNotFound(operation_id)
        return found

    async def find(self, operation_id: str) -> Operation | None:
        query = select(operations).where(_columns.operation_id == operation_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else _operation(row)

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
            can = and_(_columns.status.in_(sorted(RESUMABLE)), _has_checkpoint())
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
        return None if row is None else _operation(row)

    async def advance(self, operation_id: str, attempt: int, progress: Progress) -> bool:
        """Write progress; False when fenced."""
        result = await self._connection.execute(_mine(operation_id, attempt).values(**_progress(progress)))
        return result.rowcount == 1

    async def heartbeat(
        self, operation_id: str, attempt: int, progress: Progress, lease_seconds: float
    ) -> Heartbeat | None:
        """Renew the lease with the progress; None: fenced, stop and write nothing."""
        statement = (
            _mine(operation_id, attempt)
            .values(**_progress(progress), heartbeat_at=db_now(), lease_expires_at=db_now() + lease_seconds)
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
    ) -> bool:
        """End an attempt (COMPLETE, FAIL or CANCEL); False when it is not this attempt's to end."""
        values: dict[str, Any] = {
            "result": finite(result),
            "error_code": error_code,
            "error_message": error_message,
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
        return (await self._connection.execute(statement)).rowcount == 1

    async def fail_pending(
        self, operation_id: str, attempt: int, error_code: str, error_message: str
    ) -> bool:
        """Fail an operation whose worker never claimed it: still PENDING, at the attempt it was started for.

        A worker that did claim has raised the attempt; its late exit says nothing of the next one.
        """
        statement = (
            self._guarded(operation_id, Event.FAIL)
            .where(_columns.status == Status.PENDING.value, _columns.attempt == attempt)
            .values(error_code=error_code, error_message=error_message, completed_at=db_now())
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def request_cancel(self, operation_id: str) -> bool:
        """Set the flag that a runner reads; asking twice is asking once."""
        statement = (
            update(operations)
            .where(_columns.operation_id == operation_id, _columns.status == Status.RUNNING.value)
            .values(
                cancel_requested_at=func.coalesce(_columns.cancel_requested_at, db_now()), updated_at=db_now()
            )
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def cancel_pending(self, operation_id: str) -> bool:
        """Cancel what nobody runs yet, at once."""
        statement = (
            self._guarded(operation_id, Event.CANCEL)
            .where(_columns.status == Status.PENDING.value)
            .values(error_message="Cancelled before it began", completed_at=db_now())
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def requeue(self, operation_id: str, owner: str | None) -> bool:
        """Back to PENDING for a resume; exactly one of any number of callers gets True."""
        statement = self._guarded(operation_id, Event.RESUME).values(
            owner=owner,
            executor_ref=None,
            lease_expires_at=None,
            cancel_requested_at=None,
            error_code=None,
            error_message=None,
            completed_at=None,
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def orphan_backend_local(self, instance: str) -> Orphaned:
        """Fail what this instance's dead predecessor ran, or had accepted and not yet claimed.

        One statement for any number of rows. PENDING is included since a resume is explicit: nothing
        that a restart interrupted goes on by itself.
        """
        alive = exists().where(
            instances.c.instance == _columns.owner,
            instances.c.lease_expires_at > db_now() - ABANDONED_SECONDS,
        )
        statement = (
            _orphaning(BACKEND_RESTARTED, "BACKEND_RESTARTED", Event.FAIL)
            .where(_columns.is_backend_local, or_(_columns.owner == instance, ~alive))
            .returning(_columns.error_message)
        )
        messages = (await self._connection.execute(statement)).scalars().all()
        found = messages.count(orphan_message(BACKEND_RESTARTED, has_checkpoint=True))
        return Orphaned(found, len(messages) - found)

    async def orphan_expired_leases(self) -> builtins.list[str]:
        """Fail worker operations whose lease has run out; returns their ids."""
        statement = (
            _orphaning(WORKER_UNAVAILABLE, "WORKER_LOST")
            .where(~_columns.is_backend_local, _columns.lease_expires_at < db_now())
            .returning(_columns.operation_id)
        )
        return [*(await self._connection.execute(statement)).scalars()]

    async def orphan(self, operation_id: str, attempt: int, cause: str) -> bool:
        """Fail one attempt whose process is known to be gone."""
        statement = _orphaning(cause, "WORKER_LOST").where(
            _columns.operation_id == operation_id, _columns.attempt == attempt
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def pending_for_workers(self, limit: int) -> builtins.list[Operation]:
        """Worker operations that wait, oldest first."""
        query = (
            select(operations)
            .where(_columns.status == Status.PENDING.value, ~_columns.is_backend_local)
            .order_by(_columns.created_at, _columns.operation_id)
            .limit(limit)
        )
        return await self._fetch(query)

    async def running_workers(self) -> builtins.list[Operation]:
        """Worker operations in RUNNING."""
        query = select(operations).where(_columns.status == Status.RUNNING.value, ~_columns.is_backend_local)
        return await self._fetch(query)

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

    @staticmethod
    def _guarded(operation_id: str, event: Event) -> Any:
        return _transition(event).where(_columns.operation_id == operation_id)

    async def _fetch(self, query: Any) -> builtins.list[Operation]:
        return [_operation(row) for row in (await self._connection.execute(query)).mappings()]


def _transition(event: Event) -> Any:
    """The guarded UPDATE of one event, from the transition table."""
    transition = TRANSITIONS[event]
    return (
        update(operations)
        .where(_columns.status.in_(sorted(transition.sources)))
        .values(status=transition.target.value, updated_at=db_now())
    )


def _orphaning(cause: str, code: str, event: Event = Event.ORPHAN) -> Any:
    message: ColumnElement[str] = case(
        (_has_checkpoint(), orphan_message(cause, has_checkpoint=True)),
        else_=orphan_message(cause, has_checkpoint=False),
    )
    return _transition(event).values(
        error_code=code, error_message=message, completed_at=db_now(), lease_expires_at=None
    )


def _has_checkpoint() -> ColumnElement[bool]:
    return exists().where(checkpoints.c.operation_id == _columns.operation_id)


def _mine(operation_id: str, attempt: int) -> Any:
    """The fence: only the attempt that is RUNNING matches."""
    return (
        update(operations)
        .where(
            _columns.operation_id == operation_id,
            _columns.attempt == attempt,
            _columns.status == Status.RUNNING.value,
        )
        .values(updated_at=db_now())
    )


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "progress_percent": progress.percent,
        "progress_message": progress.message,
        "progress": finite(progress.detail),
    }


def _operation(row: RowMapping) -> Operation:
    values = dict(row)
    progress = Progress(
        values.pop("progress_percent"), values.pop("progress_message"), values.pop("progress") or {}
    )
    values.pop("heartbeat_at")
    values["operation_type"] = OperationType(values["operation_type"])
    values["status"] = Status(values["status"])
    return Operation(**values, progress=progress)
