"""Operations whose process is gone, and the statements that say so."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import (
    BACKEND_RESTARTED,
    KILLED_AFTER_GRACE,
    WORKER_UNAVAILABLE,
    Event,
    OperationType,
    Status,
    orphan_message,
)
from ktrdr.persistence.tables import db_now, instances, operations
from ktrdr.persistence.transitions import ended, transition

_columns = operations.c
# An instance whose backend has not renewed its lease for this long is gone for good (renamed, say).
ABANDONED_SECONDS = 300.0
RESTARTED = "BACKEND_RESTARTED"
_WITH_CHECKPOINT = {
    orphan_message(cause, has_checkpoint=True) for cause in (BACKEND_RESTARTED, WORKER_UNAVAILABLE)
}


@dataclass(frozen=True)
class Orphaned:
    """How many operations were failed because their process is gone."""

    with_checkpoint: int
    without_checkpoint: int

    @classmethod
    def of(cls, messages: Sequence[str]) -> Orphaned:
        """Counted by what their rows say now."""
        found = sum(message in _WITH_CHECKPOINT for message in messages)
        return cls(found, len(messages) - found)


@dataclass(frozen=True)
class Sign:
    """A worker's sign of life: one attempt's heartbeat, by the database's clock at that time."""

    operation_id: str
    attempt: int
    heartbeat_at: float


class Orphans:
    """Fails what nobody runs any more, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def fail_backend_local(self, instance: str) -> Orphaned:
        """Fail what this instance's dead predecessor ran, or had accepted and not yet claimed.

        One statement for any number of rows. PENDING is included since a resume is explicit: nothing
        that a restart interrupted goes on by itself.
        """
        alive = exists().where(
            instances.c.instance == _columns.owner,
            instances.c.lease_expires_at > db_now() - ABANDONED_SECONDS,
        )
        statement = (
            transition(Event.FAIL)
            .values(**ended(BACKEND_RESTARTED, RESTARTED))
            .where(_columns.is_backend_local, or_(_columns.owner == instance, ~alive))
            .returning(_columns.error_message)
        )
        return Orphaned.of((await self._connection.execute(statement)).scalars().all())

    async def restarted(self, instance: str, within_seconds: float) -> builtins.list[str]:
        """What restarts of this instance have failed in the last so many seconds, oldest first; campaigns,
        which need no room, before sessions.

        Without what somebody had asked to cancel when its backend died: that was to stop.
        """
        query = (
            select(_columns.operation_id)
            .where(
                _columns.status == Status.FAILED.value,
                _columns.is_backend_local,
                _columns.owner == instance,
                _columns.error_code == RESTARTED,
                _columns.cancel_requested_at.is_(None),
                _columns.completed_at >= db_now() - within_seconds,
            )
            .order_by(
                _columns.operation_type != OperationType.CAMPAIGN.value,
                _columns.created_at,
                _columns.operation_id,
            )
        )
        return [*(await self._connection.execute(query)).scalars()]

    async def abandoned(self, instance: str) -> bool:
        """Whether another instance that has sessions to fail has not renewed its lease for that long."""
        query = select(operations.c.operation_id).where(
            _columns.is_backend_local,
            _columns.status.in_([Status.PENDING.value, Status.RUNNING.value]),
            _columns.owner != instance,
            exists().where(
                instances.c.instance == _columns.owner,
                instances.c.lease_expires_at <= db_now() - ABANDONED_SECONDS,
            ),
        )
        return await self._connection.scalar(query.limit(1)) is not None

    async def signs_of_life(self) -> builtins.list[Sign]:
        """The last one of every worker that runs."""
        query = select(_columns.operation_id, _columns.attempt, _columns.heartbeat_at).where(
            _columns.status == Status.RUNNING.value, ~_columns.is_backend_local
        )
        return [Sign(*row) for row in await self._connection.execute(query)]

    async def touch(self, sign: Sign) -> None:
        """A write that changes nothing, to the row that a worker would write. Raises when none is taken."""
        await self._connection.execute(
            update(operations)
            .where(_columns.operation_id == sign.operation_id)
            .values(heartbeat_at=_columns.heartbeat_at)
        )

    async def fail_silent(self, sign: Sign) -> bool:
        """Fail a worker's attempt whose last sign of life this is; False when there has been another."""
        statement = (
            transition(Event.ORPHAN)
            .values(**ended(WORKER_UNAVAILABLE, "WORKER_LOST"))
            .where(
                ~_columns.is_backend_local,
                _columns.operation_id == sign.operation_id,
                _columns.attempt == sign.attempt,
                _columns.status == Status.RUNNING.value,
                _columns.heartbeat_at == sign.heartbeat_at,
            )
        )
        done: bool = (await self._connection.execute(statement)).rowcount == 1
        return done

    async def fail(
        self, operation_id: str, attempt: int, code: str, details: Mapping[str, Any] | None = None
    ) -> str | None:
        """Fail one attempt whose process is known to be gone; returns its message, None when fenced."""
        return await self._end(operation_id, attempt, Event.ORPHAN, WORKER_UNAVAILABLE, code, details)

    async def cancel_killed(self, operation_id: str, attempt: int) -> bool:
        """Cancel one attempt whose worker was asked to stop, did not, and was killed."""
        said = await self._end(operation_id, attempt, Event.CANCEL, KILLED_AFTER_GRACE, "WORKER_KILLED", None)
        return said is not None

    async def _end(
        self,
        operation_id: str,
        attempt: int,
        event: Event,
        cause: str,
        code: str,
        details: Mapping[str, Any] | None,
    ) -> str | None:
        statement = (
            transition(event)
            .values(**ended(cause, code), error_details=finite(details))
            .where(
                _columns.operation_id == operation_id,
                _columns.attempt == attempt,
                _columns.status == Status.RUNNING.value,
            )
            .returning(_columns.error_message)
        )
        message: str | None = await self._connection.scalar(statement)
        return message
