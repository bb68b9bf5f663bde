"""Campaigns: start and look."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from ktrdr.api.campaign_schemas import CampaignData, CampaignStarted, StartCampaign
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.campaigns_service import CampaignsService, Wanted
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN
from ktrdr.domain.strategy_files import strategy_of

CampaignId = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]


def router(service: CampaignsService) -> APIRouter:
    routes = APIRouter(prefix="/agent/campaigns", tags=["agent"])

    @routes.post("", status_code=202)
    async def start(body: StartCampaign) -> Envelope[CampaignStarted]:
        """Start a series of research sessions."""
        strategy = body.strategy
        if body.strategy_text is not None:
            read = await asyncio.to_thread(strategy_of, None, body.strategy_text)
            strategy = read.to_config()
        wanted = Wanted(
            sessions=body.sessions,
            parallel=body.parallel,
            seed=body.seed,
            dataset=body.dataset,
            strategy=strategy,
            brief=body.brief,
            budget_usd=body.budget_usd,
        )
        return Envelope(data=CampaignStarted.of(await service.start(wanted)))

    @routes.get("")
    async def campaigns(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Envelope[list[CampaignData]]:
        """Campaigns, newest first."""
        return Envelope(data=[CampaignData.of(view) for view in await service.list(limit)])

    @routes.get("/{campaign_id}")
    async def campaign(campaign_id: CampaignId) -> Envelope[CampaignData]:
        """One campaign: its sessions by rank, and how often the data were looked at."""
        return Envelope(data=CampaignData.of(await service.view(campaign_id)))

    return routes
