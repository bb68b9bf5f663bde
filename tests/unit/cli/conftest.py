"""A backend's answers on a real socket: what is tested is the command line, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ktrdr.cli.main import run

PREFIX = "/api/v1"


class Answers:
    """Canned answers by `METHOD path`, and the requests that came."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, Any]] = []

    def give(self, request: str, data: Any) -> None:
        self.known[request] = (200, {"success": True, "data": data})

    def refuse(self, request: str, status: int, code: str, message: str, **details: Any) -> None:
        error = {"code": code, "message": message, "details": details}
        self.known[request] = (status, {"success": False, "error": error})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size) or b"null")
            path = self.path.removeprefix(PREFIX)
            answers.asked.append((f"{self.command} {path}", body))
            status, reply = answers.known[f"{self.command} {path.partition('?')[0]}"]
            text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="answers")
    thread.start()
    monkeypatch.setenv("KTRDR_URL", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ktrdr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `ktrdr WORDS...` in this process: (exit status, stdout, stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ktrdr", *words])
        try:
            run()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call
