"""What may be spent and what was: limits in `budgets`, spending in `llm_calls`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.calls import DAY, Budget, Limits, campaign_scope, session_scope
from ktrdr.persistence.tables import budgets, campaign_sessions, campaigns, db_now, llm_calls

_BUDGET_LOCK = 0x6B746C
_DAY_SECONDS = 86_400
# Until it is known what a call cost, it counts as the most it can.
_COUNTED = func.coalesce(llm_calls.c.cost_usd, llm_calls.c.worst_usd)


class Budgets:
    """The rows of `budgets` beside what was spent, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql

    async def lock(self) -> None:
        """One check-and-reserve at a time; SQLite's one writer needs no lock."""
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(text(f"SELECT pg_advisory_xact_lock({_BUDGET_LOCK})"))

    async def set(self, scope: str, limit_usd: float) -> None:
        """A limit of its own instead of the setting's."""
        values = {"limit_usd": limit_usd, "updated_at": db_now()}
        statement = self._dialect.insert(budgets).values(scope=scope, **values)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["scope"], set_=values))

    async def day(self, limits: Limits) -> Budget:
        """Of the day, from midnight UTC by the database's clock."""
        now = (await self._connection.execute(select(db_now()))).scalar_one()
        since = now // _DAY_SECONDS * _DAY_SECONDS
        limit = await self._limit(DAY)
        spent = await self._spent(llm_calls.c.reserved_at >= since)
        return Budget(DAY, limits.day_usd if limit is None else limit, spent)

    async def session(self, operation_id: str, limits: Limits) -> Budget:
        scope = session_scope(operation_id)
        limit = await self._limit(scope)
        return Budget(scope, limits.session_usd if limit is None else limit, await self.spent(operation_id))

    async def spent(self, operation_id: str) -> float:
        """What one session's calls count as."""
        return await self._spent(llm_calls.c.operation_id == operation_id)

    async def campaign(self, campaign_id: str) -> Budget | None:
        """None when the campaign was given no budget of its own."""
        scope = campaign_scope(campaign_id)
        limit = await self._limit(scope)
        if limit is None:
            return None
        members = select(campaign_sessions.c.operation_id).where(
            campaign_sessions.c.campaign_id == campaign_id
        )
        return Budget(scope, limit, await self._spent(llm_calls.c.operation_id.in_(members)))

    async def is_campaign(self, operation_id: str) -> bool:
        query = select(campaigns.c.operation_id).where(campaigns.c.operation_id == operation_id)
        return await self._connection.scalar(query) is not None

    async def of(self, operation_id: str, limits: Limits) -> tuple[Budget, ...]:
        """Every budget that a call of this session counts in."""
        campaign_id = await self._connection.scalar(
            select(campaign_sessions.c.campaign_id).where(campaign_sessions.c.operation_id == operation_id)
        )
        campaign = None if campaign_id is None else await self.campaign(campaign_id)
        found = (await self.session(operation_id, limits), campaign, await self.day(limits))
        return tuple(one for one in found if one is not None)

    async def _limit(self, scope: str) -> float | None:
        found: float | None = await self._connection.scalar(
            select(budgets.c.limit_usd).where(budgets.c.scope == scope)
        )
        return found

    async def _spent(self, which: ColumnElement[bool]) -> float:
        return float(await self._connection.scalar(select(func.sum(_COUNTED)).where(which)) or 0.0)
