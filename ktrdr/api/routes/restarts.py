"""What each start of a backend found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ktrdr.api.schemas import Envelope
from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.api.start_schemas import StartData

Limit = Annotated[int, Query(ge=1, le=1000)]


def router(service: StartupReconciliation) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/restarts")
    async def restarts(limit: Limit = 10) -> Envelope[list[StartData]]:
        """What the starts of this database's backends found and did, newest first."""
        return Envelope(data=[StartData.of(one) for one in await service.list(limit)])

    return routes
