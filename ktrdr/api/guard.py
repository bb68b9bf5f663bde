"""The one guard outside everything: who may speak to this backend (pure ASGI, HTTP and websockets).

A browser attack goes for a bodyless POST such as resume, from a page the user happens to have open,
or through a DNS name that was rebound to loopback. Host, Origin and Sec-Fetch-Site tell both.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/api/v1/health", "/api/v1/ready"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_BODY_BYTES = 1_000_000


class Refusal(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Guard:
    """Checks Host, origin, token and body size before the application sees anything."""

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], token: str | None, streams: Collection[str] = ()
    ) -> None:
        """`streams` are paths that read a large body piece by piece and bound it themselves."""
        self._app = app
        self._streams = frozenset(streams)
        self._hosts = LOOPBACK | {host.strip().lower() for host in hosts if host.strip()}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            await _refuse(scope, send, refusal)
            return
        streamed = scope["path"] in self._streams
        await self._app(scope, receive if streamed else _limited(receive), send)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        host = self._host(headers.get(b"host", []))
        if scope.get("method", "WEBSOCKET") not in SAFE_METHODS:
            _check_origin(host, headers)
        length = headers.get(b"content-length", [b"0"])[0]
        bounded = scope["path"] not in self._streams
        if not length.isdigit() or (bounded and int(length) > MAX_BODY_BYTES):
            raise Refusal(413, "BODY_TOO_LARGE", f"A request has at most {MAX_BODY_BYTES} bytes.")
        if self._token is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", [b""])[0]
            if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
                raise Refusal(401, "UNAUTHORIZED", "Send the token as 'Authorization: Bearer …'.")

    def _host(self, values: list[bytes]) -> str:
        host = values[0].decode("latin-1").lower() if len(values) == 1 else ""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if name not in self._hosts:
            raise Refusal(
                421,
                "HOST_NOT_ALLOWED",
                "This backend does not answer to that Host name. Add it to KTRDR_ALLOWED_HOSTS if it should.",
            )
        return host


def _check_origin(host: str, headers: dict[bytes, list[bytes]]) -> None:
    origins = headers.get(b"origin", [])
    own = all(urlsplit(origin.decode("latin-1").lower()).netloc == host for origin in origins)
    site = headers.get(b"sec-fetch-site", [b"none"])[0]
    if not own or site not in (b"none", b"same-origin"):
        raise Refusal(403, "CROSS_SITE", "Another site's page may not change anything here.")


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:  # chunked bodies announce no length
            return {"type": "http.disconnect"}
        return message

    return counted


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
        return
    error = {"code": refusal.code, "message": refusal.message, "details": {}}
    body = json.dumps({"success": False, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
