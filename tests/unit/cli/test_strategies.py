"""`ktrdr strategies`, and a strategy in YAML for a session: what is sent, and what a person sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]
FAULT = {"found": None, "allowed": None, "closest": None}
WRONG = FAULT | {"path": "training.ephocs", "message": "unknown key; did you mean 'epochs'?", "line": 7}
SPARE = FAULT | {"path": "indicators.spare", "message": "nothing reads this indicator", "line": 3}
GOOD: dict[str, Any] = {"valid": True, "name": "mine", "errors": [], "warnings": []}
GOOD |= {"features": ["1d_a", "1d_b"], "strategy": {"name": "mine"}}
BAD = GOOD | {"valid": False, "errors": [WRONG], "features": []}
FILE = {"name": "mine", "path": "/home/strategies/mine.yaml", "valid": True, "errors": 0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text("name: mine\n")
    return path


def test_validate_posts_the_text_and_says_that_it_is_valid(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", GOOD)
    assert ktrdr("strategies", "validate", str(file)) == (0, f"{file}: valid, 2 features\n", "")
    assert backend.asked == [("POST /strategies/validate", {"text": "name: mine\n"})]


def test_a_mistake_is_file_line_path_message_and_exit_status_1(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", BAD)
    status, out, _ = ktrdr("strategies", "validate", str(file))
    assert status == 1
    assert out == f"{file}:7: training.ephocs: unknown key; did you mean 'epochs'?\n"


def test_warnings_are_called_that_and_are_no_mistakes(backend: Answers, ktrdr: Ktrdr, file: Path) -> None:
    backend.give("POST /strategies/validate", GOOD | {"warnings": [SPARE]})
    status, out, _ = ktrdr("strategies", "validate", str(file))
    assert status == 0
    assert out.splitlines() == [
        f"{file}:3: warning: indicators.spare: nothing reads this indicator",
        f"{file}: valid, 2 features",
    ]


def test_several_files_are_checked_and_one_wrong_is_enough(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", BAD)
    status, out, _ = ktrdr("strategies", "validate", "--json", str(file), str(file))
    assert status == 1
    assert json.loads(out) == [{"file": str(file)} | BAD] * 2


@pytest.mark.parametrize("content", [None, b"name: \xe9"])
def test_a_file_that_is_no_text_is_a_sentence(
    backend: Answers, ktrdr: Ktrdr, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    status, _, err = ktrdr("strategies", "validate", str(path))
    assert (status, backend.asked) == (2, [])
    assert "Invalid value" in err


def test_list_and_show(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /strategies", [FILE, FILE | {"name": "bad", "valid": False, "errors": 3}])
    backend.give("GET /strategies/mine", FILE | {"text": "name: mine\x1b[2J\n", "report": GOOD})
    status, out, _ = ktrdr("strategies", "list")
    assert status == 0
    assert "valid" in out
    assert "3 errors" in out
    status, out, _ = ktrdr("strategies", "show", "mine")
    assert (status, out.splitlines()[0]) == (0, "name: mine[2J")
    assert out.splitlines()[-1] == "/home/strategies/mine.yaml: valid, 2 features"


def test_no_files_is_a_sentence(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /strategies", [])
    assert ktrdr("strategies", "list")[1].startswith("No strategy files.")


def test_new_prints_or_writes_and_never_writes_over_a_file(
    backend: Answers, ktrdr: Ktrdr, tmp_path: Path
) -> None:
    backend.give("GET /strategies/template", {"name": "mine", "text": "name: mine\n"})
    assert ktrdr("strategies", "new", "mine") == (0, "name: mine\n", "")
    assert backend.asked == [("GET /strategies/template?name=mine", None)]
    path = tmp_path / "mine.yaml"
    assert ktrdr("strategies", "new", "mine", "--out", str(path))[0] == 0
    assert path.read_text() == "name: mine\n"
    path.write_text("edited")
    assert ktrdr("strategies", "new", "mine", "--out", str(path))[0] == 2
    assert path.read_text() == "edited"


@pytest.mark.parametrize(
    ("words", "request_line"),
    [
        ("strategies schema", "GET /strategies/schema"),
        ("strategies list --json", "GET /strategies"),
        ("strategies show x --json", "GET /strategies/x"),
    ],
)
def test_for_programs_it_is_exactly_what_the_api_said(
    backend: Answers, ktrdr: Ktrdr, words: str, request_line: str
) -> None:
    backend.give(request_line, {"a": [1]})
    status, out, _ = ktrdr(*words.split())
    assert (status, json.loads(out)) == (0, {"a": [1]})


def test_a_session_takes_a_strategy_in_yaml(backend: Answers, ktrdr: Ktrdr, file: Path) -> None:
    backend.give("POST /strategies/validate", GOOD)
    backend.give("POST /agent/trigger", {"operation_id": "research_1", "session_id": 1})
    assert ktrdr("research", "start", "--strategy", str(file))[0] == 0
    assert backend.asked[-1][1]["strategy"] == {"name": "mine"}


def test_a_session_is_not_started_with_a_strategy_that_would_be_refused(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", BAD)
    status, out, err = ktrdr("research", "start", "--strategy", str(file))
    assert (status, out, len(backend.asked)) == (1, "", 1)
    assert err == f"{file}:7: training.ephocs: unknown key; did you mean 'epochs'?\n"
