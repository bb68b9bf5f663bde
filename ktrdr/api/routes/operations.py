"""Operations: list, show, cancel, resume."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from ktrdr.api.resume_schemas import Resumed, ResumeData, ResumePreview
from ktrdr.api.schemas import Cancelled, Envelope, OperationData
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN, OperationType, Status

OperationId = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]


def router(service: OperationsService, resumes: ResumesService) -> APIRouter:
    routes = APIRouter(prefix="/operations", tags=["operations"])

    @routes.get("")
    async def operations(
        status: Status | None = None,
        type: OperationType | None = None,
        resumable: bool | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Envelope[list[OperationData]]:
        """Operations, newest first."""
        found = await service.list(status=status, operation_type=type, resumable=resumable, limit=limit)
        return Envelope(data=[OperationData.of(view) for view in found])

    @routes.get("/{operation_id}")
    async def operation(operation_id: OperationId) -> Envelope[OperationData]:
        """One operation with its checkpoint summary."""
        return Envelope(data=OperationData.of(await service.get(operation_id)))

    @routes.post("/{operation_id}/cancel", status_code=202)
    async def cancel(operation_id: OperationId) -> Envelope[Cancelled]:
        """Ask an operation to save its checkpoint and stop."""
        view = await service.cancel(operation_id)
        command = f"ktrdr operations resume {operation_id}"
        data = Cancelled(operation_id=operation_id, status=view.operation.status, resume_command=command)
        return Envelope(data=data)

    @routes.post("/{operation_id}/resume")
    async def resume(
        operation_id: OperationId, dry_run: bool = False, force: bool = False
    ) -> Envelope[Resumed | ResumePreview]:
        """Go on from the latest checkpoint, or (dry_run) say what that would reuse and do anew."""
        if dry_run:
            return Envelope(data=ResumePreview.of(await resumes.preview(operation_id, force=force)))
        return Envelope(data=Resumed.of(await resumes.resume(operation_id, force=force)))

    @routes.get("/{operation_id}/resumes")
    async def history(operation_id: OperationId) -> Envelope[list[ResumeData]]:
        """Every resume there was, oldest first, with what had ended the attempt before it."""
        return Envelope(data=[ResumeData.of(one) for one in await resumes.history(operation_id)])

    return routes
