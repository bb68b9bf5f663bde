"""`ktrdr checkpoints verify`: a table, a sentence for what is wrong, and an exit status for a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]


def kept(operation_id: str, code: str | None = None, **details: Any) -> dict[str, Any]:
    message = f"{operation_id} is \x1b[31mnot[/x] what was saved."
    return {
        "operation_id": operation_id,
        "operation_status": "FAILED",
        "checkpoint_type": "periodic",
        "sequence": 3,
        "integrity": "intact" if code is None else message,
        "artifacts": {"tensors": {"sha256": "0" * 64, "bytes": 1_234_567}},
        "fault": None if code is None else {"code": code, "message": message, "details": details},
    }


INTACT = kept("op_1")
CORRUPTED = kept("op_2", "CHECKPOINT_CORRUPTED", artifact="tensors", path="op_2/x")
ROW = kept("op_3", "CHECKPOINT_CORRUPTED", part="state", parts=["state"])
NEWER = kept("op_4", "CHECKPOINT_INCOMPATIBLE", schema_version=9)


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if line.startswith("op_") and "periodic" in line]


def test_all_are_shown_and_what_is_corrupted_is_named(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /checkpoints", [INTACT, CORRUPTED, ROW, NEWER])
    status, out, _ = ktrdr("checkpoints", "verify", "--all")
    assert status == 1
    assert rows(out) == [
        ["op_1", "periodic", "3", "1", "1,234,567", "intact"],
        ["op_2", "periodic", "3", "1", "1,234,567", "corrupted:", "tensors"],
        ["op_3", "periodic", "3", "1", "1,234,567", "corrupted:", "state"],
        ["op_4", "periodic", "3", "1", "1,234,567", "another", "version"],
    ]
    assert "op_2 is [31mnot[/x] what was saved." in out
    assert out.splitlines()[-1] == "4 verified, 2 corrupted."


@pytest.mark.parametrize(
    ("found", "status"), [([INTACT], 0), ([], 0), ([NEWER], 0), ([INTACT, ROW], 1), ([CORRUPTED], 1)]
)
def test_the_exit_status_says_whether_any_is_corrupted(
    backend: Answers, ktrdr: Ktrdr, found: list[Any], status: int
) -> None:
    """One of another version is whole: it is for another ktrdr to resume."""
    backend.give("GET /checkpoints", found)
    assert ktrdr("checkpoints", "verify", "--all")[0] == status
    exited, out, _ = ktrdr("checkpoints", "verify", "--all", "--json")
    assert (exited, json.loads(out)) == (status, found)


def test_one_is_asked_for_alone(backend: Answers, ktrdr: Ktrdr) -> None:
    """The backend reads no other's files for it."""
    backend.give("GET /checkpoints", [INTACT])
    status, out, _ = ktrdr("checkpoints", "verify", "op_1")
    assert (status, out.splitlines()[-1]) == (0, "1 verified, 0 corrupted.")
    assert backend.asked == [("GET /checkpoints?operation_id=op_1", None)]


def test_one_that_is_missing_is_not_called_intact(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /checkpoints", [])
    backend.refuse("GET /checkpoints/op_9", 404, "CHECKPOINT_NOT_FOUND", "op_9 has no checkpoint.")
    status, _, err = ktrdr("checkpoints", "verify", "op_9")
    assert (status, err) == (1, "CHECKPOINT_NOT_FOUND op_9 has no checkpoint.\n")


@pytest.mark.parametrize("words", [[], ["op_1", "--all"]])
def test_it_is_one_or_all(backend: Answers, ktrdr: Ktrdr, words: list[str]) -> None:
    status, _, err = ktrdr("checkpoints", "verify", *words)
    assert (status, "name one operation, or give --all" in err) == (2, True)
    assert backend.asked == []


def test_a_refused_resume_shows_what_changed_line_by_line(backend: Answers, ktrdr: Ktrdr) -> None:
    message = "Made from other inputs:\n  settings.min_sharpe: 0.0 -> 0.5\nRestore them."
    backend.refuse("POST /operations/op_1/resume", 409, "CHECKPOINT_INCOMPATIBLE", message)
    status, _, err = ktrdr("operations", "resume", "op_1")
    assert (status, err) == (1, f"CHECKPOINT_INCOMPATIBLE {message}\n")
