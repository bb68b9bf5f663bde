"""What a language model wrote is text wherever it is shown: no markup, no control of the terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from ktrdr.cli.render import PlainConsole
from tests.unit.cli.conftest import Answers
from tests.unit.cli.test_memory import remembered

Ktrdr = Callable[..., tuple[int, str, str]]

# Markup, a terminal's title, its cursor, an 8-bit control, a turned reading direction, and a page's script.
HOSTILE = "[red]x[/red] [/] [link=http://a]y[/link] \x1b]0;t\x07 \x1b[2J \x9b2J \r \u202e <script>z</script>"
CONTROLS = ("\x1b", "\x07", "\x9b", "\r", "\u202e")


def whole_session() -> dict[str, Any]:
    assessment = {
        "verdict": "REJECTED",
        "summary": HOSTILE,
        "opening": None,
        "strengths": [HOSTILE],
        "weaknesses": [HOSTILE],
        "hypotheses": [HOSTILE],
        "next_suggestions": [HOSTILE],
        "lesson": HOSTILE,
        "opinion": HOSTILE,
        "assessor": HOSTILE,
    }
    config = {"name": HOSTILE, "indicators": {HOSTILE: {"type": HOSTILE}}}
    return {
        "session_id": 1,
        "operation_id": "op",
        "phase": "COMPLETED",
        "status": "FAILED",
        "seed": 1,
        "progress": {"detail": {"warning": HOSTILE}},
        "error_message": HOSTILE,
        "forked_from": None,
        "forks": [],
        "strategy_config": config,
        "research_notes": HOSTILE,
        "training_result": None,
        "backtest_result": None,
        "holdout_result": None,
        "assessment": assessment,
        "result_fingerprint": "f",
    }


def test_everything_a_session_says_is_text(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/status", whole_session())
    backend.give("GET /agent/sessions/1", whole_session())
    backend.give("GET /operations/op", {"stuck": None})
    status, out, err = ktrdr("research", "status")
    assert status == 0
    assert [one for one in CONTROLS if one in out + err] == []
    # Name, notes, two of an indicator, eight of the assessment, warning, error.
    assert out.replace("\n", " ").count("[red]x[/red]") == 14


def test_what_memory_holds_is_text(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/memory", remembered(lesson=HOSTILE, statement=HOSTILE))
    _, out, _ = ktrdr("research", "memory")
    assert [one for one in CONTROLS if one in out] == []
    assert out.count("[red]x[/red]") == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_sent_no_control_that_the_text_brings(terminal: bool) -> None:
    """Also without anybody having thought of escaping it; ktrdr's own colours are still sent."""
    sent = io.StringIO()
    console = PlainConsole(file=sent, force_terminal=terminal, width=200, highlight=False)
    console.print(f"[bold]a[/bold] {HOSTILE.replace('[/]', '')}")
    assert [one for one in ("\x1b]0", "\x1b[2J", "\x07", "\x9b", "\u202e") if one in sent.getvalue()] == []
    assert ("\x1b[1m" in sent.getvalue()) is terminal


def test_json_says_controls_by_their_number(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/memory", remembered(lesson=HOSTILE + " ü 😀 \U000e0001"))
    _, out, _ = ktrdr("research", "memory", "--json")
    assert [one for one in (*CONTROLS, "\U000e0001") if one in out] == []
    assert "ü 😀" in out
    assert json.loads(out)["experiments"][0]["lesson"] == HOSTILE + " ü 😀 \U000e0001"
