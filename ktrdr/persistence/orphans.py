"""Operations whose process is gone, and the statements that say so."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import (
    BACKEND_RESTARTED,
    KILLED_AFTER_GRACE,
    WORKER_UNAVAILABLE,
    Event,
    Status,
    orphan_message,
)
from ktrdr.persistence.tables import db_now, instances, operations
from ktrdr.persistence.transitions import ended, transition

_columns = operations.c
# An instance whose backend has not renewed its lease for this long is gone for good (renamed, say).
ABANDONED_SECONDS = 300.0
RESTARTED = "BACKEND_RESTARTED"


@dataclass(frozen=True)
class Orphaned:
    """How many operations a restart failed."""

    with_checkpoint: int
    without_checkpoint: int


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
        messages = (await self._connection.execute(statement)).scalars().all()
        found = messages.count(orphan_message(BACKEND_RESTARTED, has_checkpoint=True))
        return Orphaned(found, len(messages) - found)

    async def restarted(self, instance: str, within_seconds: float) -> builtins.list[str]:
        """What restarts of this instance have failed in the last so many seconds, oldest first.

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
            .order_by(_columns.created_at, _columns.operation_id)
        )
        return [*(await self._connection.execute(query)).scalars()]

    async def fail_expired_leases(self) -> builtins.list[str]:
        """Fail worker operations whose lease has run out; returns their ids."""
        statement = (
            transition(Event.ORPHAN)
            .values(**ended(WORKER_UNAVAILABLE, "WORKER_LOST"))
            .where(~_columns.is_backend_local, _columns.lease_expires_at < db_now())
            .returning(_columns.operation_id)
        )
        return [*(await self._connection.execute(statement)).scalars()]

    async def fail(
        self, operation_id: str, attempt: int, code: str, details: Mapping[str, Any] | None = None
    ) -> bool:
        """Fail one attempt whose process is known to be gone."""
        return await self._end(operation_id, attempt, Event.ORPHAN, WORKER_UNAVAILABLE, code, details)

    async def cancel_killed(self, operation_id: str, attempt: int) -> bool:
        """Cancel one attempt whose worker was asked to stop, did not, and was killed."""
        return await self._end(operation_id, attempt, Event.CANCEL, KILLED_AFTER_GRACE, "WORKER_KILLED", None)

    async def _end(
        self,
        operation_id: str,
        attempt: int,
        event: Event,
        cause: str,
        code: str,
        details: Mapping[str, Any] | None,
    ) -> bool:
        statement = (
            transition(event)
            .values(**ended(cause, code), error_details=finite(details))
            .where(
                _columns.operation_id == operation_id,
                _columns.attempt == attempt,
                _columns.status == Status.RUNNING.value,
            )
        )
        done: bool = (await self._connection.execute(statement)).rowcount == 1
        return done
