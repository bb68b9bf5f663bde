"""Following a session: what a pipe or a log gets where no bar can move."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from rich.console import Console

from ktrdr.cli import watch
from ktrdr.cli.client import Client
from tests.unit.cli.conftest import Answers


def status(phase: str, state: str, percent: float, message: str) -> dict[str, Any]:
    progress = {"percent": percent, "message": message, "detail": {}}
    return {"phase": phase, "status": state, "progress": progress, "children": []}


class Told(Client):
    """Statuses one after another; the last one stays."""

    def __init__(self, *statuses: dict[str, Any]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.left = list(statuses)

    def get(self, path: str, **params: Any) -> Any:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(watch, "LINE_SECONDS", 0.0)


def test_a_pipe_gets_each_phase_once_and_each_message_once() -> None:
    told = Told(
        status("TRAINING", "RUNNING", 10.0, "epoch 1 of 10"),
        status("TRAINING", "RUNNING", 10.0, "epoch 1 of 10"),
        status("TRAINING", "RUNNING", 20.0, "epoch 2 of 10"),
        status("COMPLETED", "COMPLETED", 100.0, "[/red] done"),
    )
    out = Console(file=io.StringIO(), width=80, highlight=False)
    ended = watch.follow(told, 1, console=out)
    assert ended["status"] == "COMPLETED"
    assert isinstance(out.file, io.StringIO)
    assert out.file.getvalue().splitlines() == [
        "  TRAINING",
        "     10%  epoch 1 of 10",
        "     20%  epoch 2 of 10",
        "  COMPLETED",
        "    100%  [/red] done",
    ]


def test_a_warning_is_told_once_and_so_is_its_end() -> None:
    bad = status("TRAINING", "RUNNING", 10.0, "epoch 1 of 10")
    bad["progress"]["detail"] = {"warning": "checkpoint not written: No space left on device"}
    good = status("TRAINING", "RUNNING", 20.0, "epoch 1 of 10")
    told = Told(bad, bad, good, status("COMPLETED", "COMPLETED", 100.0, "done"))
    out = Console(file=io.StringIO(), width=80, highlight=False)
    watch.follow(told, 1, console=out)
    assert isinstance(out.file, io.StringIO)
    shown = [line for line in out.file.getvalue().splitlines() if "warning" in line]
    assert shown == ["  warning checkpoint not written: No space left on device", "  warning is over"]


def test_it_stops_where_it_is_told_to() -> None:
    told = Told(status("TRAINING", "RUNNING", 10.0, "a"), status("TRAINING", "RUNNING", 20.0, "b"))
    ended = watch.follow(
        told, 1, until=lambda one: one["progress"]["message"] == "b", console=Console(file=io.StringIO())
    )
    assert ended["progress"]["message"] == "b"


def test_a_session_without_progress_yet_is_followed(backend: Answers) -> None:
    backend.give("GET /agent/status", status("DESIGNING", "FAILED", 0.0, "") | {"progress": None})
    ended = watch.follow(Client(os.environ["KTRDR_URL"]), 1, console=Console(file=io.StringIO()))
    assert ended["status"] == "FAILED"
