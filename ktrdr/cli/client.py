"""The backend over HTTP: data out of the envelope, or an error a person can act on."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import httpx

TIMEOUT_SECONDS = 30.0
DEFAULT_URL = "http://127.0.0.1:8000"


class ApiError(Exception):
    """The backend refused: its code, its sentence, its details."""

    def __init__(self, code: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


class Client:
    """One backend, named by `KTRDR_URL`, else by `KTRDR_HOST` and `KTRDR_PORT`."""

    def __init__(self, url: str | None = None) -> None:
        self.url = (url or _from_environment()).rstrip("/")
        token = os.environ.get("KTRDR_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=TIMEOUT_SECONDS)

    def get(self, path: str, *, timeout: float | None = TIMEOUT_SECONDS, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return self._call("GET", path, params=given, timeout=timeout)

    def post(
        self, path: str, body: Any = None, *, timeout: float | None = TIMEOUT_SECONDS, **params: Any
    ) -> Any:
        return self._call("POST", path, json=body, params=params, timeout=timeout)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, json=body)

    def upload(self, path: str, file: BinaryIO, **params: Any) -> Any:
        """A file as the body, in pieces; the answer may take as long as the backend reads it."""
        given = {name: value for name, value in params.items() if value is not None}
        headers = {"content-type": "application/octet-stream"}
        return self._call("POST", path, content=file, params=given, headers=headers, timeout=None)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def text(self, path: str, **params: Any) -> str:
        """An answer that has no envelope, or the error that came in one."""
        answer = self._send("GET", path, params=params)
        return answer.text if answer.is_success else str(self._unwrapped(answer))

    def content(self, path: str, **params: Any) -> bytes:
        """A file, or the error that came instead of it."""
        answer = self._send("GET", path, params=params)
        if not answer.is_success:
            self._unwrapped(answer)
        return answer.content

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        return self._unwrapped(self._send(method, path, **arguments))

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise ApiError(
                "NO_BACKEND",
                f"No backend answers at {self.url}. Start one with 'ktrdr serve', or set KTRDR_URL.",
                {"cause": str(error)},
            ) from error

    def _unwrapped(self, answer: httpx.Response) -> Any:
        try:
            body = answer.json()
        except ValueError as error:
            raise ApiError(
                "NOT_KTRDR", f"What answers at {self.url} is not ktrdr. Set KTRDR_URL.", {}
            ) from error
        if not isinstance(body, dict) or "success" not in body:
            raise ApiError("NOT_KTRDR", f"What answers at {self.url} is not ktrdr. Set KTRDR_URL.", {})
        if not body["success"]:
            error_body = body.get("error", {})
            raise ApiError(
                error_body.get("code", "HTTP_ERROR"),
                error_body.get("message", answer.text),
                error_body.get("details", {}),
            )
        return body["data"]


def _from_environment() -> str:
    if "KTRDR_URL" in os.environ:
        return os.environ["KTRDR_URL"]
    host, port = os.environ.get("KTRDR_HOST", "127.0.0.1"), os.environ.get("KTRDR_PORT", "8000")
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
