"""`ktrdr research fork`: what it asks of the backend, and how lineage is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers
from tests.unit.cli.test_commands import SESSION

Ktrdr = Callable[..., tuple[int, str, str]]
ORIGIN = {
    "session_id": 3,
    "phase": "TRAINING",
    "changes": {
        "strategy.training.epochs": {"from": 60, "to": 200},
        "strategy.model.type": {"from": "mlp", "to": "[/red]gru"},
        "strategy.decisions.risk.stop_loss": {"from": None, "to": 0.05},
    },
}
FORKED = {"operation_id": "research_4", "session_id": 4, "phase": "TRAINING", "forked_from": ORIGIN}
SHOWN = (
    "forked from session 3 at TRAINING (strategy.training.epochs: 60 → 200, "
    "strategy.model.type: mlp → [/red]gru, strategy.decisions.risk.stop_loss: - → 0.05)"
)


def plain(text: str) -> str:
    return " ".join(text.split())


def test_settings_are_sent_as_what_they_look_like(backend: Answers, ktrdr: Ktrdr) -> None:
    """JSON where it is JSON, else text; what follows the first equals sign is the value."""
    backend.give("POST /agent/sessions/3/fork", FORKED)
    written = {
        "a": ("200", 200),
        "b": ("1e-3", 0.001),
        "c": ("[32, 16]", [32, 16]),
        "d": ("gru", "gru"),
        "e": ("null", None),
        "f": ("false", False),
        "g": ("NaN", "NaN"),
        "h": ("x=y", "x=y"),
        "i": ('"5"', "5"),
        "j": ("", ""),
    }
    words = [word for name, (text, _) in written.items() for word in ("--set", f"{name}={text}")]
    status, out, _ = ktrdr("research", "fork", "3", "--from", "training", *words)
    sent = {"from_phase": "TRAINING", "set": {name: value for name, (_, value) in written.items()}}
    assert status == 0
    assert backend.asked == [("POST /agent/sessions/3/fork", sent)]
    assert "Session 4 started (research_4)." in out
    assert SHOWN in plain(out)


@pytest.mark.parametrize("words", [["--set", "seed"], ["--set", "=1"], ["--set", "a=1", "--set", "a=2"]])
def test_a_setting_that_is_none_is_a_sentence(backend: Answers, ktrdr: Ktrdr, words: list[str]) -> None:
    status, _, err = ktrdr("research", "fork", "3", "--from", "TRAINING", *words)
    assert (status, "--set" in err, backend.asked) == (2, True, [])


def test_json_is_exactly_what_the_api_said(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("POST /agent/sessions/3/fork", FORKED)
    status, out, _ = ktrdr("research", "fork", "3", "--from", "TRAINING", "--json")
    assert (status, json.loads(out)) == (0, FORKED)


def test_lineage_is_shown_with_a_session_and_in_the_history(backend: Answers, ktrdr: Ktrdr) -> None:
    session: dict[str, Any] = {**SESSION, "session_id": 4, "forked_from": ORIGIN, "forks": [5, 6]}
    backend.give("GET /agent/status", session)
    backend.give("GET /agent/sessions/4", session)
    backend.give("GET /agent/sessions", [session, SESSION])
    backend.give("GET /operations/research_1", {"stuck": None})
    for words in (["status"], ["history"]):
        status, out, _ = ktrdr("research", *words)
        assert status == 0
        assert "forked from session 3 at" in plain(out)
    assert SHOWN in plain(ktrdr("research", "status")[1])
    assert "forked into session 5, 6" in plain(ktrdr("research", "status")[1])
    assert json.loads(ktrdr("research", "history", "--json")[1]) == [session, SESSION]
