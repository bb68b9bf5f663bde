"""The provider: an HTTP server on loopback that counts what it is asked and what it would bill."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.provider import protocols
from tests.provider.replies import Asked, Call, Drop, Refuse, Reply, Say, Script, Served

ERRORS = {
    "anthropic": protocols.anthropic_error,
    "openai": protocols.openai_error,
    "google": protocols.google_error,
}
REPLIES = {
    "anthropic": protocols.anthropic_reply,
    "openai": protocols.openai_reply,
    "google": protocols.google_reply,
}
GOOGLE = re.compile(r"/v1(?:beta)?/models/([^:]+):generateContent")


class FakeProvider:
    """`with FakeProvider(script) as provider:`; the addresses are `url(protocol)`."""

    def __init__(self, script: Script, *, first_statuses: tuple[Refuse | Drop, ...] = ()) -> None:
        """`first_statuses` go before the script: the first requests get them, in their order."""
        self.script = script
        self._first = list(first_statuses)
        self._lock = threading.Lock()
        self.served: list[Served] = []
        self.arrived = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer in two pieces would wait 40 ms between them
            wbufsize = -1

            def do_POST(self) -> None:
                provider._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed in the middle is what is tested."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="provider", daemon=True
        )

    def __enter__(self) -> FakeProvider:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, protocol: str) -> str:
        """What KTRDR_LLM_BASE_URL is set to."""
        path = "/v1" if protocol == "openai" else ""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    @property
    def paid(self) -> list[Served]:
        """The requests that cost something."""
        with self._lock:
            return [one for one in self.served if one.paid]

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self.served.clear()

    def texts(self) -> list[str]:
        """Every request's body as it came, to search in."""
        with self._lock:
            return [json.dumps(one.asked.body, ensure_ascii=False) for one in self.served]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self._lock:
            self.arrived += 1
        arrived_at = time.time()
        asked = _asked(handler.path, json.loads(raw))
        if asked is None:
            _send(handler, 404, {"error": {"message": f"no such path {handler.path}"}})
            return
        with self._lock:
            reply: Reply = self._first.pop(0) if self._first else self.script(asked)
        tokens = max(1, len(raw) // 4)
        self._reply(handler, asked, reply, tokens, arrived_at)

    def _reply(
        self, handler: BaseHTTPRequestHandler, asked: Asked, reply: Reply, tokens: int, arrived_at: float
    ) -> None:
        if isinstance(reply, Refuse):
            self._count(handler, asked, reply.status, (0, 0), arrived_at)
            headers = {} if reply.retry_after is None else {"retry-after": f"{reply.retry_after:g}"}
            _send(handler, reply.status, ERRORS[asked.protocol](reply), headers)
            return
        if isinstance(reply, Drop):
            self._count(handler, asked, 0, (tokens, 1), arrived_at)
            handler.close_connection = True
            return
        usage = (tokens, reply.output_tokens or _output_tokens(reply))
        self._count(
            handler, asked, 200, usage, arrived_at
        )  # what is begun is billed, whoever hears the answer
        time.sleep(reply.delay)
        _send(handler, 200, REPLIES[asked.protocol](asked, reply, usage))

    def _count(
        self,
        handler: BaseHTTPRequestHandler,
        asked: Asked,
        status: int,
        usage: tuple[int, int],
        arrived_at: float,
    ) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.served.append(Served(asked, headers, status, *usage, arrived_at))


def _asked(path: str, body: Mapping[str, Any]) -> Asked | None:
    path = path.partition("?")[0]
    if path == "/v1/messages":
        return protocols.anthropic_asked(body)
    if path == "/v1/chat/completions":
        return protocols.openai_asked(body)
    google = GOOGLE.fullmatch(path)
    return None if google is None else protocols.google_asked(body, google[1])


def _output_tokens(reply: Say | Call) -> int:
    text = reply.text if isinstance(reply, Say) else json.dumps(reply.calls)
    return max(1, len(text) // 4)


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> None:
    data = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()
