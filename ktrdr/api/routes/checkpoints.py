"""Checkpoints: list, show, delete, clean up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from ktrdr.api.schemas import CheckpointData, CleanUpRequest, Deleted, Envelope
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

OperationId = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]
OneOperation = Annotated[str | None, Query(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]


def router(service: CheckpointsService) -> APIRouter:
    routes = APIRouter(prefix="/checkpoints", tags=["checkpoints"])

    @routes.get("")
    async def checkpoints(operation_id: OneOperation = None) -> Envelope[list[CheckpointData]]:
        """Every checkpoint, newest first, or one operation's; each is read to its last byte."""
        found = await service.list(operation_id)
        return Envelope(data=[CheckpointData.full(view, with_state=False) for view in found])

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
    async def clean_up(body: CleanUpRequest) -> Envelope[Deleted]:
        """Delete old checkpoints of stopped operations."""
        return Envelope(data=Deleted(deleted=await service.clean_up(body.older_than_days)))

    return routes
