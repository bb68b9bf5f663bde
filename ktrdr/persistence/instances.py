"""Which backends are alive: one leased row a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, delete, false, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.persistence.tables import db_now, instances

_columns = instances.c


@dataclass(frozen=True)
class Held:
    """A name's row at one look: equal to another look's when the lease was not renewed in between."""

    holder: str
    lease_expires_at: float
    seconds_left: float = field(compare=False)  # by the database's clock, which may have been set since


class Instances:
    """The rows of `backend_instances`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def acquire(
        self, instance: str, holder: str, lease_seconds: float, *, over: Held | None = None
    ) -> Held | None:
        """Take the name, or renew it; None when it is ours, else who holds it.

        From another holder it is taken only as it was seen: `over`, not renewed since.
        """
        values = {"holder": holder, "lease_expires_at": db_now() + lease_seconds}
        dialect: Any = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(instances).values(instance=instance, **values)
        seen = (
            false()
            if over is None
            else and_(_columns.holder == over.holder, _columns.lease_expires_at == over.lease_expires_at)
        )
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["instance"], set_=values, where=or_(_columns.holder == holder, seen)
            )
        )
        query = select(
            _columns.holder, _columns.lease_expires_at, _columns.lease_expires_at - db_now()
        ).where(_columns.instance == instance)
        current = Held(*(await self._connection.execute(query)).one())
        return None if current.holder == holder else current

    async def holds(self, instance: str, holder: str) -> bool:
        """Whether the name is still this holder's, and stays so until the end of the transaction."""
        query = select(_columns.holder).where(_columns.instance == instance).with_for_update(read=True)
        return await self._connection.scalar(query) == holder

    async def release(self, instance: str, holder: str) -> None:
        await self._connection.execute(
            delete(instances).where(_columns.instance == instance, _columns.holder == holder)
        )
