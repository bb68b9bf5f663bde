"""Resumes in the database: one row each, written with the requeue."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.resumes import Ending, Position, Resume
from ktrdr.persistence.tables import db_now, resumes

_columns = resumes.c


class Resumes:
    """The rows of `operation_resumes`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(self, resume: Resume) -> None:
        """Write one; the caller's transaction re-queues the operation."""
        await self._connection.execute(
            insert(resumes).values(
                operation_id=resume.operation_id,
                attempt=resume.ending.attempt,
                automatic=resume.automatic,
                forced=resume.forced,
                difference=None if resume.difference is None else dict(resume.difference),
                checkpoint_sequence=resume.checkpoint_sequence,
                position=resume.position.to_json(),
                error_code=resume.ending.code,
                error_message=resume.ending.message,
                ended_at=resume.ending.at,
                created_at=db_now(),
            )
        )

    async def of(self, operation_ids: Sequence[str]) -> dict[str, builtins.list[Resume]]:
        """The resumes of several operations by id, oldest first; without an entry there was none."""
        query = select(resumes).where(_columns.operation_id.in_(operation_ids)).order_by(_columns.resume_id)
        found: dict[str, builtins.list[Resume]] = {}
        for row in (await self._connection.execute(query)).mappings():
            found.setdefault(row["operation_id"], []).append(_resume(row))
        return found


def _resume(row: RowMapping) -> Resume:
    return Resume(
        row["operation_id"],
        Ending(row["attempt"], row["error_code"], row["error_message"], row["ended_at"]),
        Position.from_json(row["position"]),
        row["checkpoint_sequence"],
        row["automatic"],
        row["forced"],
        row["difference"],
        row["created_at"],
    )
