"""Errors to HTTP: the one place where a class becomes a status."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ktrdr.domain import errors

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[errors.KtrdrError], int], ...] = (
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.InvalidInput, 422),
    (errors.CheckpointCorrupted, 422),
    (errors.DatasetCorrupted, 422),
    (errors.FileTooLarge, 413),
    (errors.BudgetExhausted, 429),
    (errors.DownloadFailed, 502),
    (errors.DatabaseUnavailable, 503),
)


def install(app: FastAPI) -> None:
    """Give every error the envelope of the API."""
    app.add_exception_handler(errors.KtrdrError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def envelope(status: int, code: str, message: str, details: dict[str, Any]) -> JSONResponse:
    error = {"code": code, "message": message, "details": details}
    return JSONResponse({"success": False, "error": error}, status)


def as_error(error: errors.KtrdrError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": error.details}


async def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.KtrdrError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return envelope(status, error.code, error.message, error.details)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Names what is wrong and where; never echoes what was sent."""
    assert isinstance(error, RequestValidationError)
    found = [
        {"path": ".".join(str(part) for part in one["loc"]), "message": one["msg"]} for one in error.errors()
    ]
    first = found[0] if found else {"path": "body", "message": "invalid"}
    message = f"{first['path']}: {first['message']}. /docs shows the shape that is expected."
    return envelope(422, errors.InvalidInput.code, message, {"errors": found})


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP_ERROR")
    return envelope(error.status_code, code, f"{error.detail}. /docs lists every path.", {})


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled error on %s %s", request.method, request.url.path, exc_info=error)
    return envelope(500, errors.KtrdrError.code, "An error of ktrdr's own; the backend's log has it.", {})
