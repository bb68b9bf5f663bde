"""Forks of research sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ktrdr.api.fork_schemas import Forked, ForkRequest
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.forks_service import ForksService, Wanted


def router(service: ForksService) -> APIRouter:
    routes = APIRouter(prefix="/agent", tags=["agent"])

    @routes.post("/sessions/{session_id}/fork", status_code=202)
    async def fork(session_id: Annotated[int, Path(ge=1, lt=2**31)], body: ForkRequest) -> Envelope[Forked]:
        """Start a session from the finished phases of another, which stays as it is."""
        session, made = await service.fork(Wanted(session_id, body.phase, body.settings))
        return Envelope(data=Forked.of(session, made))

    return routes
