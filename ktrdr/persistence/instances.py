"""Which backends are alive: one leased row a name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.persistence.tables import db_now, instances

_columns = instances.c


class Instances:
    """The rows of `backend_instances`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def acquire(self, instance: str, holder: str, lease_seconds: float) -> str | None:
        """Take the name; None when it is ours, else who holds it."""
        values = {"holder": holder, "lease_expires_at": db_now() + lease_seconds}
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(instances).values(instance=instance, **values)
        free = or_(_columns.lease_expires_at < db_now(), _columns.holder == holder)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["instance"], set_=values, where=free)
        )
        current = await self._connection.scalar(select(_columns.holder).where(_columns.instance == instance))
        return None if current == holder else current

    async def renew(self, instance: str, holder: str, lease_seconds: float) -> bool:
        """False when the name was taken by another."""
        result = await self._connection.execute(
            update(instances)
            .where(_columns.instance == instance, _columns.holder == holder)
            .values(lease_expires_at=db_now() + lease_seconds)
        )
        return result.rowcount == 1

    async def release(self, instance: str, holder: str) -> None:
        await self._connection.execute(
            delete(instances).where(_columns.instance == instance, _columns.holder == holder)
        )
