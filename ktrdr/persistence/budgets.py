"""What may be spent and what was: limits in `budgets`, spending in `llm_calls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, String, bindparam, func, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.calls import DAY, Budget, Limits, campaign_scope, session_scope
from ktrdr.persistence.tables import budgets, campaign_sessions, campaigns, db_midnight, db_now, llm_calls

_BUDGET_LOCK = 0x6B746C
_CAMPAIGN = campaign_scope("")
# Until it is known what a call cost, it counts as the most it can.
_COUNTED = func.coalesce(llm_calls.c.cost_usd, llm_calls.c.worst_usd)
_TODAY = llm_calls.c.reserved_at >= db_midnight()


@dataclass(frozen=True)
class Spending:
    """What a campaign may spend, and what its sessions' calls have come to or were reserved at."""

    limit_usd: float | None  # None: it was given no budget of its own
    spent_usd: float


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

    async def is_campaign(self, operation_id: str) -> bool:
        query = select(campaigns.c.operation_id).where(campaigns.c.operation_id == operation_id)
        return await self._connection.scalar(query) is not None

    async def spent(self, operation_id: str) -> float:
        """What one session's calls count as."""
        return float(await self._connection.scalar(_SPENT, {"own": operation_id}) or 0.0)

    async def day(self, limits: Limits) -> Budget:
        """Of the day, from midnight UTC by the database's clock."""
        query = select(_limit(DAY), _spent(_TODAY))
        limit, spent = (await self._connection.execute(query)).one()
        return Budget(DAY, limits.day_usd if limit is None else limit, spent or 0.0)

    async def session(self, operation_id: str, limits: Limits) -> Budget:
        scope = session_scope(operation_id)
        query = select(_limit(scope), _spent(_of_session(operation_id)))
        limit, spent = (await self._connection.execute(query)).one()
        return Budget(scope, limits.session_usd if limit is None else limit, spent or 0.0)

    async def of_call(self, operation_id: str, limits: Limits) -> tuple[Budget, ...]:
        """Every budget that a session's next call counts in: its own, its campaign's, the day's."""
        row = (await self._connection.execute(_STANDING, {"own": operation_id})).one()
        return standing(row, operation_id, limits)

    async def spending(self, campaign_id: str) -> Spending:
        query = select(_limit(campaign_scope(campaign_id)), _spent(_of_campaign(literal(campaign_id))))
        limit, spent = (await self._connection.execute(query)).one()
        return Spending(limit, spent or 0.0)

    async def campaign(self, campaign_id: str) -> Budget | None:
        """None when the campaign was given no budget of its own."""
        found = await self.spending(campaign_id)
        if found.limit_usd is None:
            return None
        return Budget(campaign_scope(campaign_id), found.limit_usd, found.spent_usd)


def _limit(scope: str | ColumnElement[str]) -> ScalarSelect[float]:
    return select(budgets.c.limit_usd).where(budgets.c.scope == scope).scalar_subquery()


def _spent(which: ColumnElement[bool]) -> ScalarSelect[float]:
    return select(func.sum(_COUNTED)).where(which).scalar_subquery()


def _of_session(operation_id: str | ColumnElement[str]) -> ColumnElement[bool]:
    return llm_calls.c.operation_id == operation_id


def _of_campaign(campaign: ColumnElement[str]) -> ColumnElement[bool]:
    members = select(campaign_sessions.c.operation_id).where(campaign_sessions.c.campaign_id == campaign)
    return llm_calls.c.operation_id.in_(members)


def _standing() -> tuple[ColumnElement[Any], ...]:
    own: ColumnElement[str] = bindparam("own", type_=String)
    member = campaign_sessions.c
    campaign = select(member.campaign_id).where(member.operation_id == own).scalar_subquery()
    return (
        _limit(literal(session_scope("")) + own).label("own_limit"),
        _spent(_of_session(own)).label("own_spent"),
        _limit(DAY).label("day_limit"),
        _spent(_TODAY).label("day_spent"),
        campaign.label("campaign_id"),
        _limit(literal(_CAMPAIGN) + campaign).label("campaign_limit"),
        _spent(_of_campaign(campaign)).label("campaign_spent"),
    )


def standing(row: Row[Any], operation_id: str, limits: Limits) -> tuple[Budget, ...]:
    """Every budget that a call of a session counts in, from a row with the columns `STANDING`."""
    own = limits.session_usd if row.own_limit is None else row.own_limit
    day = limits.day_usd if row.day_limit is None else row.day_limit
    found = [
        Budget(session_scope(operation_id), own, row.own_spent or 0.0),
        Budget(DAY, day, row.day_spent or 0.0),
    ]
    if row.campaign_limit is not None:
        scope = campaign_scope(row.campaign_id)
        found.insert(1, Budget(scope, row.campaign_limit, row.campaign_spent or 0.0))
    return tuple(found)


# Made once: to put them together takes longer than to execute them. All ask for a session as `own`.
STANDING = _standing()
_STANDING = select(*STANDING)
_SPENT = select(_spent(_of_session(bindparam("own", type_=String))))
