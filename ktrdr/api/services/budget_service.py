"""Budgets of the language model: look at them and set them."""

from __future__ import annotations

from dataclasses import dataclass

from ktrdr.domain.calls import DAY, Budget, Limits, campaign_scope, session_scope
from ktrdr.domain.errors import InvalidInput
from ktrdr.persistence.unit_of_work import Database, Transaction


@dataclass(frozen=True)
class Standing:
    """The day's budget, and that of the session or the campaign that was asked for."""

    day: Budget
    session: Budget | None = None
    campaign: Budget | None = None


class BudgetService:
    """Use cases of budgets. What is raised counts from the next request on, without a restart."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def standing(self, session_id: int | None = None, campaign_id: str | None = None) -> Standing:
        """Raises SessionNotFound."""
        async with self._database.read() as tx:
            return await self._read(tx, session_id, campaign_id)

    async def set(
        self, limit_usd: float, session_id: int | None = None, campaign_id: str | None = None
    ) -> Standing:
        """Of the day, of one session or of one campaign. Raises SessionNotFound, InvalidInput."""
        async with self._database.transaction() as tx:
            scope = DAY
            if session_id is not None:
                scope = session_scope((await tx.sessions.get(session_id)).operation_id)
            elif campaign_id is not None:
                if not await tx.budgets.is_campaign(campaign_id):
                    raise InvalidInput(f"There is no campaign '{campaign_id}'.", {"campaign_id": campaign_id})
                scope = campaign_scope(campaign_id)
            await tx.budgets.set(scope, limit_usd)
            return await self._read(tx, session_id, campaign_id)

    async def _read(self, tx: Transaction, session_id: int | None, campaign_id: str | None) -> Standing:
        session = None
        if session_id is not None:
            found = await tx.sessions.get(session_id)
            session = await tx.budgets.session(found.operation_id, self._limits)
        campaign = None if campaign_id is None else await tx.budgets.campaign(campaign_id)
        return Standing(await tx.budgets.day(self._limits), session, campaign)
