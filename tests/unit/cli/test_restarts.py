"""What `ktrdr restarts` shows a person, and what a program gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ktrdr.api.start_schemas import StartData
from ktrdr.persistence.starts import Start
from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]


def start(**counts: int) -> dict[str, Any]:
    found = {"failed_with_checkpoint": 0, "failed_without_checkpoint": 0, "left_running": 0}
    found |= {"resubmitted": 0, "resumable": 0} | counts
    return StartData.of(Start(1, "default", "holder", **found, seconds=0.42, created_at=0.0)).model_dump()


def test_a_start_is_one_line_with_every_count(backend: Answers, ktrdr: Ktrdr) -> None:
    counts = {"failed_with_checkpoint": 2, "failed_without_checkpoint": 1, "left_running": 4}
    backend.give("GET /restarts", [start(**counts, resubmitted=5, resumable=6), start()])
    status, out, _ = ktrdr("restarts", "--last", "2")
    assert status == 0
    assert backend.asked == [("GET /restarts?limit=2", None)]
    first, second, *_, last = out.splitlines()
    assert first.endswith(
        "default  Started in 0.4 s: 3 marked FAILED (2 with a checkpoint), "
        "4 left running, 5 re-submitted, 6 can be resumed"
    )
    assert "0 marked FAILED" in second
    assert last == "What can be resumed: ktrdr operations list --resumable"


def test_nothing_to_resume_is_not_offered(backend: Answers, ktrdr: Ktrdr) -> None:
    """Only the newest start counts: what an older one found may have been resumed since."""
    backend.give("GET /restarts", [start(), start(resumable=6)])
    assert "ktrdr operations list" not in ktrdr("restarts")[1]


def test_json_is_what_the_api_said(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /restarts", [start(resumable=1)])
    assert json.loads(ktrdr("restarts", "--json")[1]) == [start(resumable=1)]
