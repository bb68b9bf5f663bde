"""What sessions have left behind."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ktrdr.api.memory_schemas import MemoryData
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.memory_service import MemoryService


def router(service: MemoryService) -> APIRouter:
    routes = APIRouter(prefix="/agent", tags=["agent"])

    @routes.get("/memory")
    async def memory(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Envelope[MemoryData]:
        """Experiments with their lessons, and hypotheses; the newest first."""
        return Envelope(data=MemoryData.of(await service.look(limit)))

    return routes
