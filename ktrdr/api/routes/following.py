"""What an operation says: its workers' log, and its events as they come.

The events are made from the rows: no state here, so a restart loses nothing.

An event's id is the revision of the operation's row. A client that comes back with Last-Event-ID, to
this backend or to its successor, is first sent every status and phase that came after it, in order,
then the present state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import PlainTextResponse, StreamingResponse

from ktrdr.api.routes.operations import OperationId
from ktrdr.api.schemas import iso
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.domain.errors import DatabaseUnavailable, InvalidInput
from ktrdr.domain.operations import TERMINAL, Operation
from ktrdr.persistence.events import OperationEvent

FOLLOW_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 15.0
LOG_BYTES, MAX_LOG_BYTES = 65_536, 5_000_000


def router(service: OperationsService, closing: asyncio.Event) -> APIRouter:
    routes = APIRouter(prefix="/operations", tags=["operations"])

    @routes.get("/{operation_id}/log", response_class=PlainTextResponse)
    async def log(
        operation_id: OperationId, last_bytes: Annotated[int, Query(ge=1, le=MAX_LOG_BYTES)] = LOG_BYTES
    ) -> PlainTextResponse:
        """The end of what the operation's workers wrote, attempt after attempt."""
        return PlainTextResponse(await service.log(operation_id, last_bytes))

    @routes.get("/{operation_id}/events", response_class=StreamingResponse)
    async def events(
        operation_id: OperationId, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        """Server-sent events. The present state comes first, or what came after Last-Event-ID."""
        seen = revision_of(last_event_id)
        await service.get(operation_id)
        stream = follow(service, operation_id, seen, closing)
        headers = {"Cache-Control": "no-cache"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return routes


def revision_of(last_event_id: str | None) -> int | None:
    """The revision a client has seen, or None for one that comes for the first time."""
    if last_event_id is None or not last_event_id.strip():
        return None
    if not last_event_id.strip().isdecimal():
        raise InvalidInput("Last-Event-ID: send the id of the last event, a number, or leave it out.")
    return min(int(last_event_id), 2**31 - 1)


async def follow(
    service: OperationsService, operation_id: str, seen: int | None, closing: asyncio.Event
) -> AsyncIterator[str]:
    """Events until the operation has ended or the backend stops; an outage of the database is waited out."""
    loop = asyncio.get_running_loop()
    said = loop.time()
    while not closing.is_set():
        try:
            happened, view = await service.since(operation_id, 2**31 - 1 if seen is None else seen)
        except DatabaseUnavailable:
            yield ": the database is away\n\n"
            await _pause(closing)
            continue
        now = view.operation
        fresh = seen is None or now.revision > seen
        for one in happened:
            yield _event("status", one.revision, _past(one))
        if fresh and not (happened and happened[-1].revision == now.revision):
            ended = now.status in TERMINAL
            yield _event("status" if ended else "progress", now.revision, _present(now))
        if now.status in TERMINAL:
            yield _event("end", now.revision, {"status": now.status.value})
            return
        seen = now.revision
        if fresh:
            said = loop.time()
        elif loop.time() - said > KEEP_ALIVE_SECONDS:
            said = loop.time()
            yield ": still here\n\n"
        await _pause(closing)


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), FOLLOW_SECONDS)
    except TimeoutError:
        return


def _event(name: str, revision: int, data: dict[str, Any]) -> str:
    return f"id: {revision}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def _past(one: OperationEvent) -> dict[str, Any]:
    return {
        "operation_id": one.operation_id,
        "status": one.status.value,
        "attempt": one.attempt,
        "progress": {"percent": round(one.progress_percent, 2), "message": one.progress_message},
        "error_code": one.error_code,
        "error_message": one.error_message,
        "at": iso(one.created_at),
    }


def _present(one: Operation) -> dict[str, Any]:
    return {
        "operation_id": one.operation_id,
        "status": one.status.value,
        "attempt": one.attempt,
        "progress": {
            "percent": round(one.progress.percent, 2),
            "message": one.progress.message,
            "detail": dict(one.progress.detail),
        },
        "error_code": one.error_code,
        "error_message": one.error_message,
        "at": iso(one.updated_at),
    }
