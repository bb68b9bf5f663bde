"""`ktrdr research start --sessions` and `ktrdr research campaign`: what is asked, and the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]
PASSED = [{"gate": "training", "passed": True, "reasons": []}]
FAILED = [{"gate": "training", "passed": False, "reasons": ["balanced_accuracy 0.3 is below 0.335"]}]


def standing(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "rank": number,
        "number": number,
        "session_id": 10 + number,
        "operation_id": f"campaign_1.s00{number}",
        "status": "COMPLETED",
        "phase": "COMPLETED",
        "progress": {"percent": 100.0, "message": "completed", "detail": {}},
        "error_code": None,
        "error_message": None,
        "seed": number,
        "strategy": f"strategy_{number}",
        "validation_sharpe": 1.0 / number,
        "trades": 40,
        "gates": PASSED,
        "verdict": "NOT_PROVEN",
        "opening": number,
        "fingerprint": "f",
        **fields,
    }


CAMPAIGN: dict[str, Any] = {
    "operation_id": "campaign_1",
    "status": "FAILED",
    "error_code": "BUDGET_EXHAUSTED",
    "error_message": "session 3 could not go on: [/red]no money",
    "sessions": 5,
    "parallel": 2,
    "seed": 7,
    "dataset": "nasdaq",
    "brief": "",
    "progress": {"percent": 60.0, "message": "session 3 of 5: DESIGNING", "detail": {}},
    "counts": {"completed": 2, "failed": 1, "cancelled": 0, "active": 0, "to_begin": 2},
    "trials": 12,
    "openings": {"used": 10, "limit": 10},
    "budget": {"limit_usd": 1.5, "spent_usd": 1.4},
    "leaderboard": [
        standing(1, strategy="[/b]\x1b[2Jx"),
        standing(2, gates=FAILED, verdict="REJECTED", opening=None),
        standing(
            3,
            rank=None,
            status="FAILED",
            error_code="BUDGET_EXHAUSTED",
            error_message="no money",
            validation_sharpe=None,
            trades=None,
            gates=[],
            verdict=None,
        ),
    ],
    "result": None,
    "created_at": None,
    "completed_at": None,
}


def plain(text: str) -> str:
    return " ".join(text.split())


def test_what_is_left_out_is_not_sent(backend: Answers, ktrdr: Ktrdr) -> None:
    """The backend has the defaults; a campaign has no trigger reason."""
    started = {"operation_id": "campaign_1", "sessions": 5, "parallel": 2}
    backend.give("POST /agent/campaigns", started)
    status, out, _ = ktrdr(
        "research", "start", "an idea", "--sessions", "5", "--parallel", "2", "--budget", "1.5"
    )
    assert status == 0
    assert backend.asked == [
        (
            "POST /agent/campaigns",
            {"sessions": 5, "parallel": 2, "budget_usd": 1.5, "brief": "an idea"},
        )
    ]
    assert "ktrdr research campaign campaign_1 --watch" in out
    status, out, _ = ktrdr("research", "start", "--sessions", "5", "--json")
    assert (status, json.loads(out)) == (0, started)


def test_what_is_of_a_campaign_needs_one(backend: Answers, ktrdr: Ktrdr) -> None:
    status, _, err = ktrdr("research", "start", "--parallel", "2")
    assert (status, "--sessions" in err, backend.asked) == (2, True, [])


def test_the_leaderboard_is_of_the_latest_campaign(backend: Answers, ktrdr: Ktrdr) -> None:
    """Ranks, errors, what is left of the holdout, and how to go on; a model's text moves no cursor."""
    backend.give("GET /agent/campaigns", [CAMPAIGN])
    backend.give("GET /agent/campaigns/campaign_1", CAMPAIGN)
    status, out, _ = ktrdr("research", "campaign")
    shown = plain(out)
    assert status == 0
    assert "2 completed, 1 failed, 2 to begin of 5, 2 at once" in shown
    assert "12 strategies were evaluated on nasdaq so far" in shown
    assert "10 of 10 openings used, none left: a session that passes its gates is NOT_PROVEN" in shown
    assert "$1.4000 spent, of $1.50" in shown
    assert "1 11 COMPLETED [/b][2Jx 1.00 40 passed NOT_PROVEN" in shown
    assert "2 12 COMPLETED strategy_2 0.50 40 training REJECTED" in shown
    assert "- 13 FAILED strategy_3 - - - -" in shown
    assert "session 13: BUDGET_EXHAUSTED no money" in shown
    assert "FAILED: session 3 could not go on: [/red]no money" in shown
    assert "ktrdr operations resume campaign_1" in shown
    assert "\x1b[2J" not in out


def test_there_may_be_no_campaign_yet(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/campaigns", [])
    assert "research start --sessions" in ktrdr("research", "campaign")[1]
    assert ktrdr("research", "campaign", "--json")[1].strip() == "null"


def test_a_campaign_is_followed_to_its_end(backend: Answers, ktrdr: Ktrdr) -> None:
    """Exit 1 unless it completes; under --json stdout holds the campaign alone."""
    backend.give("GET /agent/campaigns/campaign_1", CAMPAIGN)
    status, out, _ = ktrdr("research", "campaign", "campaign_1", "--watch")
    assert status == 1
    assert "1 of 5, session 11: COMPLETED NOT_PROVEN, Sharpe 1.00" in plain(out)
    backend.give("GET /agent/campaigns/campaign_1", {**CAMPAIGN, "status": "COMPLETED"})
    status, out, err = ktrdr("research", "campaign", "campaign_1", "--watch", "--json")
    assert (status, json.loads(out)["operation_id"]) == (0, "campaign_1")
    assert "3 of 5, session 13: FAILED no money" in plain(err)
