"""Research sessions: trigger and look."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.api.schemas import Envelope, SessionData, StatusData, Triggered, TriggerRequest
from ktrdr.domain.strategy_files import strategy_of


def router(service: AgentService) -> APIRouter:
    routes = APIRouter(prefix="/agent", tags=["agent"])

    @routes.post("/trigger", status_code=202)
    async def trigger(body: TriggerRequest) -> Envelope[Triggered]:
        """Start a research session."""
        strategy = body.strategy
        if body.strategy_text is not None:
            read = await asyncio.to_thread(strategy_of, None, body.strategy_text)
            strategy = read.to_config()
        session = await service.trigger(
            Trigger(
                body.trigger_reason, body.seed, body.dataset, strategy, body.brief, budget_usd=body.budget_usd
            )
        )
        return Envelope(data=Triggered(operation_id=session.operation_id, session_id=session.session_id))

    @routes.get("/status")
    async def status(session_id: Annotated[int | None, Query(ge=1)] = None) -> Envelope[StatusData]:
        """Phase and progress of one session, or of the latest."""
        view = await (service.latest() if session_id is None else service.view(session_id))
        return Envelope(data=StatusData.of(view))

    @routes.get("/sessions")
    async def sessions(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Envelope[list[SessionData]]:
        """Sessions, newest first."""
        return Envelope(data=[SessionData.full(view) for view in await service.history(limit)])

    @routes.get("/sessions/{session_id}")
    async def session(session_id: int) -> Envelope[SessionData]:
        """Everything one session found."""
        return Envelope(data=SessionData.full(await service.view(session_id)))

    return routes
