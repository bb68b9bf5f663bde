"""Checkpoints: list, show, delete, clean up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from ktrdr.api.retention_schemas import CleanUpData, CleanUpRequest, StatisticsData
from ktrdr.api.schemas import CheckpointData, Deleted, Envelope
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.retention_service import RetentionService
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

OperationId = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]
OneOperation = Annotated[str | None, Query(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]


def router(service: CheckpointsService, retention: RetentionService) -> APIRouter:
    routes = APIRouter(prefix="/checkpoints", tags=["checkpoints"])

    @routes.get("")
    async def checkpoints(operation_id: OneOperation = None) -> Envelope[list[CheckpointData]]:
        """Every checkpoint, newest first, or one operation's; each is read to its last byte."""
        found = await service.list(operation_id)
        return Envelope(data=[CheckpointData.full(view, with_state=False) for view in found])

    @routes.get("/statistics")
    async def statistics() -> Envelope[StatisticsData]:
        """How many checkpoints there are, what their files take, and what the next cleanup takes."""
        return Envelope(data=StatisticsData.of(await retention.statistics()))

    @routes.get("/{operation_id}")
    async def checkpoint(operation_id: OperationId) -> Envelope[CheckpointData]:
        """One checkpoint, verified."""
        return Envelope(data=CheckpointData.full(await service.get(operation_id), with_state=True))

    @routes.delete("/{operation_id}")
    async def delete(operation_id: OperationId) -> Envelope[Deleted]:
        """Delete the checkpoint of an operation that is not running."""
        await service.delete(operation_id)
        return Envelope(data=Deleted(deleted=[operation_id]))

    @routes.post("/cleanup")
    async def clean_up(body: CleanUpRequest | None = None) -> Envelope[CleanUpData]:
        """Delete old checkpoints, and files that no row points at; never of what waits or runs."""
        wanted = body or CleanUpRequest()
        done = await retention.clean_up(wanted.older_than_days, dry_run=wanted.dry_run)
        return Envelope(data=CleanUpData.of(done))

    return routes
