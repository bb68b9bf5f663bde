"""What goes wrong is a code and a sentence that says what to do, with exit status 1."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]


def test_a_refusal_is_its_code_and_its_sentence(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.refuse("POST /operations/x/resume", 409, "NOT_RESUMABLE", "x is [RUNNING]. Cancel it first.")
    status, out, err = ktrdr("operations", "resume", "x")
    assert (status, out) == (1, "")
    assert err == "NOT_RESUMABLE x is [RUNNING]. Cancel it first.\n"


def test_every_wrong_field_is_named(backend: Answers, ktrdr: Ktrdr) -> None:
    wrong = [{"path": "body.seed", "message": "too big"}, {"path": "body.brief", "message": "too long"}]
    backend.refuse("POST /agent/trigger", 422, "INVALID_INPUT", "body.seed: too big.", errors=wrong)
    status, _, err = ktrdr("research", "start")
    assert status == 1
    assert err.splitlines()[1:] == ["  body.seed: too big", "  body.brief: too long"]


def test_no_backend_is_said_with_the_way_to_start_one(ktrdr: Ktrdr, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:  # bound, not listening: nothing answers, nobody else gets it
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KTRDR_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        status, _, err = ktrdr("operations", "list")
    assert status == 1
    assert err.startswith("NO_BACKEND No backend answers at http://127.0.0.1:")
    assert "'ktrdr serve'" in err


@pytest.mark.parametrize("reply", [b"<html>", b"[]", b'{"hello": 1}'])
def test_another_server_on_the_port_is_recognised(backend: Answers, ktrdr: Ktrdr, reply: bytes) -> None:
    backend.known["GET /operations"] = (200, reply)
    status, _, err = ktrdr("operations", "list")
    assert status == 1
    assert err.startswith("NOT_KTRDR ")


def test_help_loads_neither_http_nor_the_product() -> None:
    """That is what keeps `ktrdr --help` under half a second."""
    code = (
        "import sys, ktrdr.cli.main as m\n"
        "try: m.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'httpx', 'psutil', 'torch', 'numpy', 'pydantic', 'fastapi', 'sqlalchemy'}\n"
        "own = {n for n in sys.modules if n.startswith('ktrdr.') and not n.startswith('ktrdr.cli')}\n"
        "print(sorted(own | heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
