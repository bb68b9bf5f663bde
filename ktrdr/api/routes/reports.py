"""What a backtest came to: its report, and its trades and equity as files.

They are served as the worker wrote them, byte for byte, under the hash that the operation's row has.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from ktrdr.api.routes.operations import OperationId
from ktrdr.api.services.reports_service import REPORT, ReportFile, ReportsService
from ktrdr.reporting.sheet import CONTENT_SECURITY_POLICY

Format = Annotated[Literal["csv", "json", "parquet"], Query()]
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}


def router(service: ReportsService) -> APIRouter:
    routes = APIRouter(prefix="/operations", tags=["operations"])

    @routes.get("/{operation_id}/report", response_class=Response)
    async def report(operation_id: OperationId) -> Response:
        """A backtest's whole report as JSON, without an envelope: the file is its own."""
        return _served(await service.file(operation_id, REPORT), MEDIA_TYPES["json"])

    @routes.get("/{operation_id}/report.html", response_class=HTMLResponse)
    async def sheet(operation_id: OperationId) -> HTMLResponse:
        """The tear sheet: one HTML document that needs nothing but itself."""
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(await service.sheet(operation_id), headers=policy)

    @routes.get("/{operation_id}/report/trades", response_class=Response)
    async def trades(operation_id: OperationId, format: Format = "csv") -> Response:
        """Every trade, as a file."""
        return await _table(operation_id, "trades", format)

    @routes.get("/{operation_id}/report/equity", response_class=Response)
    async def equity(operation_id: OperationId, format: Format = "csv") -> Response:
        """The worth at every bar's close, as a file."""
        return await _table(operation_id, "equity", format)

    async def _table(operation_id: str, table: str, format: str) -> Response:
        name = f"{table}.{format}"
        found = await service.file(operation_id, name)
        headers = {"Content-Disposition": f'attachment; filename="{operation_id}.{name}"'}
        return _served(found, MEDIA_TYPES[format], headers)

    return routes


def _served(found: ReportFile, media_type: str, headers: dict[str, str] | None = None) -> Response:
    safe = {"ETag": f'"{found.sha256}"', "X-Content-Type-Options": "nosniff"}
    return Response(found.content, media_type=media_type, headers={**safe, **(headers or {})})
