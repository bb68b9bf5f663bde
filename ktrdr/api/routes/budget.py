"""Budgets of the language model, and what is missing to ask one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ktrdr.api.llm_schemas import BudgetRequest, BudgetsData, CheckData
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.budget_service import BudgetService
from ktrdr.api.services.doctor_service import DoctorService
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

SessionId = Annotated[int | None, Query(ge=1)]
CampaignId = Annotated[str | None, Query(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]


def router(service: BudgetService, doctor: DoctorService) -> APIRouter:
    routes = APIRouter(tags=["agent"])

    @routes.get("/agent/budget")
    async def budget(session_id: SessionId = None, campaign_id: CampaignId = None) -> Envelope[BudgetsData]:
        """What may be spent and what was: today, and by a session or a campaign."""
        return Envelope(data=BudgetsData.of(await service.standing(session_id, campaign_id)))

    @routes.put("/agent/budget")
    async def set_budget(body: BudgetRequest) -> Envelope[BudgetsData]:
        """Set what may be spent; it counts from the next request on."""
        found = await service.set(body.limit_usd, body.session_id, body.campaign_id)
        return Envelope(data=BudgetsData.of(found))

    @routes.get("/doctor")
    async def examine() -> Envelope[list[CheckData]]:
        """What is configured and what is missing. Never a key."""
        return Envelope(data=[CheckData.of(one) for one in await doctor.examine()])

    return routes
