"""`ktrdr research budget` and `ktrdr doctor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]
ONE = {"limit_usd": 10.0, "spent_usd": 0.4218, "left_usd": 9.5782}


def budgets(**more: Any) -> dict[str, Any]:
    return {"day": ONE, "session": None, "campaign": None, **more}


def test_the_days_budget_is_shown(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/budget", budgets())
    status, out, _ = ktrdr("research", "budget")
    assert status == 0
    assert "day (UTC)  $10.00  $0.4218  $9.5782" in " ".join(out.split("\n")).replace("    ", "  ")
    assert "session" not in out


def test_budgets_are_set_and_shown(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/budget", budgets(session=ONE))
    backend.give("PUT /agent/budget", budgets())
    status, out, _ = ktrdr("research", "budget", "--day", "20", "--session", "3", "--set", "2")
    assert status == 0
    whose = {"session_id": 3, "campaign_id": None}
    assert backend.asked == [
        ("PUT /agent/budget", {"limit_usd": 20.0}),
        ("PUT /agent/budget", {"limit_usd": 2.0, **whose}),
        ("GET /agent/budget?session_id=3", None),
    ]
    assert "session 3" in out


@pytest.mark.parametrize(
    "words", [("--set", "2"), ("--session", "1", "--campaign", "c", "--set", "2"), ("--day", "-1")]
)
def test_what_can_not_be_meant_asks_nothing(backend: Answers, ktrdr: Ktrdr, words: tuple[str, ...]) -> None:
    assert ktrdr("research", "budget", *words)[0] == 2
    assert backend.asked == []


def test_the_doctor_says_what_is_missing(backend: Answers, ktrdr: Ktrdr) -> None:
    found = {"name": "database", "state": "ok", "message": "it answers"}
    backend.give("GET /doctor", [found])
    assert ktrdr("doctor") == (0, "ok       database: it answers\n", "")
    lost = {"name": "language model", "state": "missing", "message": "[red]KEY[/red] is not set"}
    backend.give("GET /doctor", [found, lost])
    status, out, _ = ktrdr("doctor")
    assert status == 1
    assert "missing  language model: [red]KEY[/red] is not set" in out
