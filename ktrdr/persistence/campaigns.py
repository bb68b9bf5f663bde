"""Campaigns in the database, and which sessions are theirs."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.campaigns import Campaign
from ktrdr.domain.errors import CampaignNotFound
from ktrdr.domain.operations import Operation
from ktrdr.domain.sessions import AgentSession
from ktrdr.persistence.sessions import as_session
from ktrdr.persistence.tables import (
    campaign_sessions,
    campaigns,
    db_now,
    operations,
    sessions,
    trials,
)
from ktrdr.persistence.transitions import as_operation

_columns = campaigns.c
_own = campaign_sessions.c


@dataclass(frozen=True)
class Member:
    """A session of a campaign, by its number, as it is now."""

    number: int
    operation: Operation


class Campaigns:
    """The rows of `campaigns` and `campaign_sessions`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, operation_id: str, *, sessions: int, parallel: int) -> None:
        """A campaign without sessions; the caller's transaction has its operation."""
        await self._connection.execute(
            insert(campaigns).values(
                operation_id=operation_id, sessions=sessions, parallel=parallel, created_at=db_now()
            )
        )

    async def begun(self, campaign_id: str, number: int, operation_id: str) -> None:
        """A session is the campaign's; the caller's transaction creates it."""
        await self._connection.execute(
            insert(campaign_sessions).values(
                campaign_id=campaign_id, number=number, operation_id=operation_id
            )
        )

    async def get(self, campaign_id: str) -> Campaign:
        """Raises CampaignNotFound."""
        query = select(campaigns).where(_columns.operation_id == campaign_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise CampaignNotFound(campaign_id)
        return Campaign(**row)

    async def list(self, limit: int) -> builtins.list[Campaign]:
        """Newest first."""
        query = (
            select(campaigns).order_by(_columns.created_at.desc(), _columns.operation_id.desc()).limit(limit)
        )
        return [Campaign(**row) for row in (await self._connection.execute(query)).mappings()]

    async def of(self, session_operation_id: str) -> str | None:
        """The campaign that a session belongs to."""
        query = select(_own.campaign_id).where(_own.operation_id == session_operation_id)
        found: str | None = await self._connection.scalar(query)
        return found

    async def members(self, campaign_id: str, *, above: int = 0) -> builtins.list[Member]:
        """The campaign's sessions by number, those above a number only."""
        query = _joined(select(operations, _own.number), operations.c.operation_id, campaign_id)
        rows = (await self._connection.execute(query.where(_own.number > above))).mappings()
        return [Member(row["number"], as_operation(_without_number(row))) for row in rows]

    async def sessions(self, campaign_id: str) -> builtins.list[AgentSession]:
        """What the campaign's sessions know, by number."""
        query = _joined(select(sessions), sessions.c.operation_id, campaign_id)
        return [as_session(row) for row in (await self._connection.execute(query)).mappings()]

    async def trials(self, campaign_id: str, *, up_to: int) -> builtins.list[int]:
        """The ids of the trials that the sessions up to a number came to, in the order of the sessions."""
        query = _joined(select(trials.c.trial_id), trials.c.operation_id, campaign_id)
        return [*(await self._connection.execute(query.where(_own.number <= up_to))).scalars()]


def _joined(query: Any, operation_id: Any, campaign_id: str) -> Any:
    return (
        query.join(campaign_sessions, _own.operation_id == operation_id)
        .where(_own.campaign_id == campaign_id)
        .order_by(_own.number)
    )


def _without_number(row: RowMapping) -> Any:
    return {name: value for name, value in row.items() if name != "number"}
