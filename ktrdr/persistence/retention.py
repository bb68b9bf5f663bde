"""What the database says of checkpoints and files that may have had their time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import case, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from ktrdr.domain.operations import CANCELLABLE, RESUMABLE
from ktrdr.persistence.tables import checkpoints, db_now, operations, sessions

_columns = operations.c
_BATCH = 500  # ids of one query
_ACTIVE = sorted(CANCELLABLE)  # PENDING and RUNNING


@dataclass(frozen=True)
class Kept:
    """How many checkpoints there are: in all, of what can be resumed, by type of operation."""

    count: int
    resumable: int
    oldest: float | None
    by_type: dict[str, int]


class Retention:
    """Looks at all families and all files at once, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def now(self) -> float:
        """The database's clock."""
        found = await self._connection.scalar(select(db_now()))
        assert found is not None
        return float(found)

    async def expired(self, seconds: float, limit: int) -> list[str]:
        """The roots of families that have a checkpoint, that nothing has been written to for so long, and
        of which nobody waits or runs; the oldest first."""
        root = func.coalesce(_columns.parent_operation_id, _columns.operation_id)
        roots = (
            select(root.label("root"))
            .join(checkpoints, checkpoints.c.operation_id == _columns.operation_id)
            .distinct()
            .subquery()
        )
        members = union(
            select(roots.c.root, _columns.operation_id, _columns.updated_at, _columns.status).join(
                roots, _columns.operation_id == roots.c.root
            ),
            select(roots.c.root, _columns.operation_id, _columns.updated_at, _columns.status).join(
                roots, _columns.parent_operation_id == roots.c.root
            ),
        ).subquery()
        written = func.max(members.c.updated_at)
        active = func.sum(case((members.c.status.in_(_ACTIVE), 1), else_=0))
        query = (
            select(members.c.root)
            .group_by(members.c.root)
            .having(written <= db_now() - seconds, active == 0)
            .order_by(written, members.c.root)
            .limit(limit)
        )
        return [*(await self._connection.execute(query)).scalars()]

    async def family(self, root: str) -> list[str]:
        """The operation and its children, in the order in which they are locked."""
        query = (
            select(_columns.operation_id)
            .where(or_(_columns.operation_id == root, _columns.parent_operation_id == root))
            .order_by(_columns.operation_id)
        )
        return [*(await self._connection.execute(query)).scalars()]

    async def active(self) -> frozenset[str]:
        """The operations that are PENDING or RUNNING."""
        query = select(_columns.operation_id).where(_columns.status.in_(_ACTIVE))
        return frozenset((await self._connection.execute(query)).scalars())

    async def checkpoint_paths(self) -> frozenset[str]:
        """The generations that checkpoints point at."""
        path = checkpoints.c.artifacts_path
        return frozenset((await self._connection.execute(select(path).where(path.is_not(None)))).scalars())

    async def result_paths(self) -> frozenset[str]:
        """The generations that results point at, and what a backtest was told to read: models, reports."""
        places: list[ColumnElement[str]] = [
            _columns.result[("model", "path")].as_string(),
            _columns.result[("report", "path")].as_string(),
            _columns.request[("model", "path")].as_string(),
            sessions.c.training_result[("model", "path")].as_string(),
            sessions.c.backtest_result[("report", "path")].as_string(),
        ]
        found = union(*(select(place.label("path")).where(place.is_not(None)) for place in places))
        return frozenset((await self._connection.execute(found)).scalars())

    async def known(self, operation_ids: Collection[str]) -> frozenset[str]:
        """Those that this database has a row of."""
        ids, found = sorted(operation_ids), set[str]()
        for begin in range(0, len(ids), _BATCH):
            query = select(_columns.operation_id).where(
                _columns.operation_id.in_(ids[begin : begin + _BATCH])
            )
            found.update((await self._connection.execute(query)).scalars())
        return frozenset(found)

    async def kept(self) -> Kept:
        """Counts of the checkpoints."""
        resumable = func.sum(case((_columns.status.in_(sorted(RESUMABLE)), 1), else_=0))
        query = (
            select(_columns.operation_type, func.count(), resumable, func.min(checkpoints.c.created_at))
            .join(checkpoints, checkpoints.c.operation_id == _columns.operation_id)
            .group_by(_columns.operation_type)
            .order_by(_columns.operation_type)
        )
        rows = [*(await self._connection.execute(query))]
        return Kept(
            count=sum(row[1] for row in rows),
            resumable=sum(row[2] for row in rows),
            oldest=min((row[3] for row in rows), default=None),
            by_type={row[0]: row[1] for row in rows},
        )
