"""What each epoch of a training came to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ktrdr.api.job_schemas import HistoryData
from ktrdr.api.routes.operations import OperationId
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.history_service import HistoryService

LAST, MOST = 10_000, 1_000_000


def router(service: HistoryService) -> APIRouter:
    routes = APIRouter(prefix="/operations", tags=["operations"])

    @routes.get("/{operation_id}/history")
    async def history(
        operation_id: OperationId, last: Annotated[int, Query(ge=1, le=MOST)] = LAST
    ) -> Envelope[HistoryData]:
        """A training's epochs, the last ones: of its model, or of its latest checkpoint."""
        return Envelope(data=HistoryData.of(await service.get(operation_id), last))

    return routes
