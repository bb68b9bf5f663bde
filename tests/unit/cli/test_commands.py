"""What each command asks of the backend, and what it shows a person or a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]
PROGRESS = {"percent": 40.0, "message": "epoch 4 of 10", "detail": {"epoch": 4}}
CHECKPOINT = {"checkpoint_type": "periodic", "sequence": 3, "phase": "TRAINING", "epoch": 4, "bar": None}
CHECKPOINT |= {"created_at": None}
OPERATION = {
    "operation_id": "research_1",
    "operation_type": "agent_research",
    "status": "FAILED",
    "attempt": 1,
    "error_code": "BACKEND_RESTARTED",
    "error_message": "Backend restarted - checkpoint available for resume",
    "error_details": None,
    "queue_position": None,
    "progress": PROGRESS,
    "result": None,
    "checkpoint": CHECKPOINT,
    "resumable": True,
    "created_at": None,
    "started_at": None,
    "completed_at": None,
}
STATUS = {
    "phase": "TRAINING",
    "session_id": 1,
    "operation_id": "research_1",
    "status": "FAILED",
    "error_message": OPERATION["error_message"],
    "progress": PROGRESS,
    "children": [],
}
SESSION = STATUS | {
    "seed": 7,
    "strategy_config": None,
    "research_notes": None,
    "training_result": None,
    "backtest_result": None,
    "holdout_result": None,
    "assessment": None,
    "result_fingerprint": None,
}
CANCELLED = {"operation_id": "research_1", "status": "RUNNING", "resume_command": "x"}
RESUMED = {"operation_id": "research_1", "status": "PENDING", "resumed_from": CHECKPOINT}
KEPT = CHECKPOINT | {"operation_id": "research_1", "operation_status": "FAILED", "resumable": True}
KEPT |= {"integrity": "intact", "fault": None, "artifacts": {}, "state": {"phase": "TRAINING"}}


@pytest.fixture
def whole(backend: Answers) -> Answers:
    """A backend with one failed session and its checkpoint."""
    backend.give("GET /agent/status", STATUS)
    backend.give("GET /agent/sessions/1", SESSION)
    backend.give("POST /agent/trigger", {"operation_id": "research_1", "session_id": 1})
    backend.give("GET /operations", [OPERATION])
    backend.give("GET /operations/research_1", OPERATION)
    backend.give("POST /operations/research_1/cancel", CANCELLED)
    backend.give("POST /operations/research_1/resume", RESUMED)
    backend.give("GET /checkpoints", [KEPT])
    backend.give("GET /checkpoints/research_1", KEPT)
    backend.give("DELETE /checkpoints/research_1", {"deleted": ["research_1"]})
    return backend


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("research start", {"operation_id": "research_1", "session_id": 1}),
        ("research status", SESSION),
        ("research cancel", CANCELLED),
        ("research resume", RESUMED),
        ("operations list", [OPERATION]),
        ("operations show research_1", OPERATION),
        ("operations cancel research_1", CANCELLED),
        ("operations resume research_1", RESUMED),
        ("checkpoints list", [KEPT]),
        ("checkpoints show research_1", KEPT),
        ("checkpoints verify --all", [KEPT]),
        ("checkpoints delete research_1", {"deleted": ["research_1"]}),
    ],
)
def test_json_is_exactly_what_the_api_said(whole: Answers, ktrdr: Ktrdr, words: str, expected: Any) -> None:
    status, out, _ = ktrdr(*words.split(), "--json")
    assert (status, json.loads(out)) == (0, expected)


@pytest.mark.parametrize("words", ["research watch", "research start --watch", "research resume --watch"])
def test_watching_under_json_prints_the_session_alone_and_tells_failure(
    whole: Answers, ktrdr: Ktrdr, words: str
) -> None:
    status, out, _ = ktrdr(*words.split(), "--json")
    assert (status, json.loads(out)) == (1, SESSION)


@pytest.mark.parametrize("words", ["research resume", "operations resume research_1"])
def test_a_resume_is_followed(whole: Answers, ktrdr: Ktrdr, words: str) -> None:
    status, out, _ = ktrdr(*words.split(), "--watch")
    assert (status, out.splitlines()[0]) == (1, "Resumed from TRAINING, training epoch 4.")
    assert "Backend restarted - checkpoint available for resume" in out


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("research cancel", "ktrdr research resume 1"),
        ("operations cancel research_1", "ktrdr operations resume research_1"),
    ],
)
def test_a_cancel_prints_the_exact_resume_command(
    whole: Answers, ktrdr: Ktrdr, words: str, command: str
) -> None:
    """And that command is one: it resumes what was cancelled."""
    status, out, _ = ktrdr(*words.split())
    assert (status, out.splitlines()[-1]) == (0, f"Go on later: {command}")
    status, out, _ = ktrdr(*command.split()[1:])
    assert (status, out) == (0, "Resumed from TRAINING, training epoch 4.\n")
    assert whole.asked[-1][0].startswith("POST /operations/research_1/resume")


PLAN = {
    "operation_id": "research_1",
    "status": "FAILED",
    "can_resume": True,
    "resumed_from": CHECKPOINT,
    "checkpoint_age_seconds": 7260.0,
    "reused": [{"part": "design", "what": "strategy '[/red]calm'"}],
    "children": [
        {"operation_id": "research_1.training", "status": "FAILED", "action": "resume", "what": "goes on"}
    ],
    "redone": ["epoch 5 of 10, from its beginning"],
    "forced_over": None,
    "stuck": None,
    "obstacle": None,
}
STUCK = {
    "resumes": 3,
    "message": "It was resumed 3 times and got no further.",
    "errors": [
        {"attempt": number, "code": "DIED", "message": f"error {number}", "at": "2026-11-24T09:00:00+00:00"}
        for number in (2, 3, 4)
    ],
}


@pytest.mark.parametrize("words", ["operations resume research_1", "research resume 1"])
def test_a_dry_run_shows_the_plan(whole: Answers, ktrdr: Ktrdr, words: str) -> None:
    whole.give("POST /operations/research_1/resume", PLAN)
    status, out, _ = ktrdr(*words.split(), "--dry-run")
    assert status == 0
    assert "dry_run=true" in whole.asked[-1][0]
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "research_1 is FAILED and can be resumed.",
        "",
        "checkpoint TRAINING, periodic 3, 2 hours old",
        "reuses design: strategy '[/red]calm'",
        "child research_1.training (FAILED): goes on",
        "redoes epoch 5 of 10, from its beginning",
        "",
        "Go on: ktrdr operations resume research_1",
    ]


def test_a_dry_run_says_why_not_and_what_to_do_instead(whole: Answers, ktrdr: Ktrdr) -> None:
    whole.give("POST /operations/research_1/resume", PLAN | {"redone": []})
    assert "redoes      nothing" in ktrdr("operations", "resume", "research_1", "--dry-run")[1]
    difference = {"settings": {"checkpoint": "a" * 64, "now": "b" * 64}, "code": {"checkpoint": 1, "now": 2}}
    obstacle = {"code": "CHECKPOINT_INCOMPATIBLE", "message": "Restore them.", "details": {}}
    obstacle |= {"details": {"difference": difference}}
    refused = PLAN | {"can_resume": False, "obstacle": obstacle, "stuck": STUCK}
    whole.give("POST /operations/research_1/resume", refused)
    status, out, _ = ktrdr("operations", "resume", "research_1", "--dry-run")
    assert status == 1
    assert "CHECKPOINT_INCOMPATIBLE Restore them." in out
    assert f"settings: {'a' * 12}… in the checkpoint, {'b' * 12}… now" in out
    assert "code: 1 in the checkpoint, 2 now" in out
    assert "attempt 4  DIED: error 4 (2026-11-24 09:00:00)" in out
    assert out.endswith("Regardless: ktrdr operations resume research_1 --force\n")
    none: dict[str, Any] = {"resumed_from": None, "reused": [], "children": [], "redone": []}
    missing = {"code": "CHECKPOINT_NOT_FOUND", "message": "Start it anew.", "details": {}}
    whole.give("POST /operations/research_1/resume", refused | none | {"obstacle": missing, "stuck": None})
    status, out, _ = ktrdr("operations", "resume", "research_1", "--dry-run")
    told = ["research_1 is FAILED and can't be resumed.", "CHECKPOINT_NOT_FOUND Start it anew."]
    assert (status, out.splitlines()) == (1, told)


def test_what_gets_nowhere_is_told_with_every_error(whole: Answers, ktrdr: Ktrdr) -> None:
    """By a resume, and by show, which counts the resumes and says what was forced."""
    over = {"data": {"checkpoint": "a", "now": "The data set is gone."}}
    whole.give("POST /operations/research_1/resume", RESUMED | {"stuck": STUCK, "forced_over": over})
    status, out, _ = ktrdr("operations", "resume", "research_1", "--force")
    assert status == 0
    assert "forced over  data: a in the checkpoint, The data set is gone. now" in out
    assert [line.split()[1] for line in out.splitlines() if "DIED" in line] == ["2", "3", "4"]
    whole.give("GET /operations/research_1", OPERATION | {"resumes": 3, "stuck": STUCK})
    kept = {"automatic": True, "forced": False, "forced_over": None}
    forced = {"automatic": False, "forced": True, "forced_over": over}
    whole.give("GET /operations/research_1/resumes", [kept, kept, forced])
    status, out, _ = ktrdr("operations", "show", "research_1")
    assert (status, out.count("DIED: error")) == (0, 3)
    assert "3 (2 automatic; 1 forced over another data)" in out
    status, out, _ = ktrdr("research", "status")
    assert (status, out.count("DIED: error")) == (0, 3)


def test_a_failed_session_says_why_and_how_to_go_on(whole: Answers, ktrdr: Ktrdr) -> None:
    status, out, _ = ktrdr("research", "status")
    assert status == 0
    assert "Backend restarted - checkpoint available for resume" in out
    assert "Go on: ktrdr research resume 1" in out


def test_start_sends_seed_brief_budget_and_strategy(whole: Answers, ktrdr: Ktrdr, tmp_path: Path) -> None:
    path = tmp_path / "strategy.json"
    path.write_text('{"name": "mine"}')
    words = ["a brief", "--seed", "7", "--budget", "0.5", "--strategy", str(path)]
    status, _, _ = ktrdr("research", "start", *words)
    sent = {
        "trigger_reason": "start_new_cycle",
        "dataset": None,
        "brief": "a brief",
        "seed": 7,
        "budget_usd": 0.5,
    }
    assert status == 0
    assert whole.asked == [("POST /agent/trigger", sent | {"strategy": {"name": "mine"}})]


@pytest.mark.parametrize("content", [None, "{not json"])
def test_a_strategy_file_that_is_none_is_a_sentence(
    whole: Answers, ktrdr: Ktrdr, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content)
    status, _, err = ktrdr("research", "start", "--strategy", str(path))
    assert status == 2
    assert "Invalid value" in err
    assert whole.asked == []


@pytest.mark.parametrize("words", ["research status", "operations show research_1", "checkpoints list"])
def test_text_from_the_server_is_never_markup(whole: Answers, ktrdr: Ktrdr, words: str) -> None:
    """A model may have written it; `[/red]` would end a colour, or the program."""
    hostile = "[/red][bold]x"
    whole.give("GET /agent/status", STATUS | {"error_message": hostile})
    whole.give("GET /operations/research_1", OPERATION | {"error_message": hostile})
    fault = {"code": "CHECKPOINT_CORRUPTED", "message": "x", "details": {"artifact": hostile}}
    whole.give("GET /checkpoints", [KEPT | {"integrity": "x", "fault": fault}])
    status, out, _ = ktrdr(*words.split())
    assert status == 0
    assert hostile in out


def test_a_waiting_operation_shows_its_place(whole: Answers, ktrdr: Ktrdr) -> None:
    whole.give("GET /operations", [OPERATION | {"status": "PENDING", "queue_position": 3}])
    status, out, _ = ktrdr("operations", "list", "--type", "training")
    assert (status, "queue: 3" in out) == (0, True)
    assert "type=training" in whole.asked[-1][0]


@pytest.mark.parametrize("words", ["research status", "operations show research_1"])
def test_a_warning_is_shown(whole: Answers, ktrdr: Ktrdr, words: str) -> None:
    """A run that goes on although its disk takes no checkpoint."""
    progress = PROGRESS | {"detail": {"warning": "checkpoint not written: No space left on device"}}
    whole.give("GET /agent/status", STATUS | {"progress": progress})
    whole.give("GET /operations/research_1", OPERATION | {"progress": progress})
    status, out, _ = ktrdr(*words.split())
    assert (status, "warning checkpoint not written: No space left on device" in out) == (0, True)


def test_a_failed_operation_shows_the_end_of_its_log(whole: Answers, ktrdr: Ktrdr) -> None:
    details = {"exit_status": 1, "log": "ImportError: [/red] libtorch"}
    whole.give("GET /operations/research_1", OPERATION | {"error_details": details})
    status, out, _ = ktrdr("operations", "show", "research_1")
    assert (status, "ImportError: [/red] libtorch" in out) == (0, True)
    assert "BACKEND_RESTARTED (exit status 1)" in out
    assert "ktrdr operations log research_1" in out


def test_a_log_is_printed_without_what_would_drive_the_terminal(whole: Answers, ktrdr: Ktrdr) -> None:
    whole.known["GET /operations/research_1/log"] = (200, b"one\n\x1b]0;title\x07two\n")
    assert ktrdr("operations", "log", "research_1") == (0, "one\n]0;titletwo\n", "")
    whole.refuse("GET /operations/research_1/log", 404, "LOG_NOT_FOUND", "There is none.")
    status, out, err = ktrdr("operations", "log", "research_1")
    assert (status, out) == (1, "")
    assert "There is none." in err
