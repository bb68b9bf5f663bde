"""Hypotheses in the database."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.memory import Hypothesis, HypothesisStatus
from ktrdr.persistence.tables import db_now, hypotheses

_columns = hypotheses.c


class Hypotheses:
    """The rows of `hypotheses`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql

    async def record(self, operation_id: str, statements: Sequence[str]) -> None:
        """What a session's assessor thought of, numbered from 1; a repeat finds its own rows."""
        for number, statement in enumerate(statements, start=1):
            row = self._dialect.insert(hypotheses).values(
                operation_id=operation_id,
                number=number,
                statement=statement,
                status=HypothesisStatus.OPEN.value,
                created_at=db_now(),
                updated_at=db_now(),
            )
            await self._connection.execute(row.on_conflict_do_nothing())

    async def settle(self, hypothesis_id: int, status: HypothesisStatus) -> bool:
        """False when it is not open any more: the first test of it counts."""
        statement = (
            update(hypotheses)
            .where(_columns.hypothesis_id == hypothesis_id, _columns.status == HypothesisStatus.OPEN.value)
            .values(status=status.value, updated_at=db_now())
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def list(self, limit: int) -> builtins.list[Hypothesis]:
        """Newest first."""
        query = select(hypotheses).order_by(_columns.hypothesis_id.desc()).limit(limit)
        return [_hypothesis(row) for row in (await self._connection.execute(query)).mappings()]

    async def by_ids(self, ids: Sequence[int]) -> builtins.list[Hypothesis]:
        """In the order of their ids."""
        query = select(hypotheses).where(_columns.hypothesis_id.in_(ids)).order_by(_columns.hypothesis_id)
        return [_hypothesis(row) for row in (await self._connection.execute(query)).mappings()]


def _hypothesis(row: RowMapping) -> Hypothesis:
    return Hypothesis(
        row["hypothesis_id"],
        row["operation_id"],
        row["number"],
        row["statement"],
        HypothesisStatus(row["status"]),
        row["created_at"],
    )
