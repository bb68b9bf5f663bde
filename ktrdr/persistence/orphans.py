"""Operations whose process is gone, and the statements that say so."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_
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
            .values(**ended(BACKEND_RESTARTED, "BACKEND_RESTARTED"))
            .where(_columns.is_backend_local, or_(_columns.owner == instance, ~alive))
            .returning(_columns.error_message)
        )
        return Orphaned.of((await self._connection.execute(statement)).scalars().all())

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
