"""`ktrdr strategies leak-check`: what is sent, and what a person sees of leaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]
PATH = "POST /strategies/leak-check"
VALID = {
    "valid": True,
    "name": "mine",
    "errors": [],
    "warnings": [],
    "features": [],
    "strategy": {"name": "mine"},
}
CLEAN: dict[str, Any] = {
    "strategy": "mine",
    "clean": True,
    "leaks": [],
    "bars": 3773,
    "moments": 26,
    "features": 6,
    "folds": 5,
    "networks": 15,
    "trained": False,
    "perturbations": ["higher", "lower"],
}
FEATURE = {
    "kind": "feature",
    "name": "1d_mean",
    "symbol": "X\x1b[2J",
    "known": 815,
    "perturbation": "higher",
    "bar": 812,
    "time": 86400 * 365,
    "fold": None,
    "before": 0.123456789,
    "after": None,
    "times": 31,
}
SCALER = FEATURE | {"kind": "scaler", "fold": "fold 1", "bar": None, "time": None, "after": 2.0}
LEAKING = CLEAN | {"clean": False, "leaks": [FEATURE, SCALER], "trained": True}
LOOKED = (
    "3,773 bars, 6 features, 5 folds, 15 networks {}; everything later was changed at 26 bars and at each "
)
LOOKED += "fold's ends, in 2 ways."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text("name: mine\n")
    return path


def test_a_file_without_a_leak_says_how_much_was_looked_at(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", VALID)
    backend.give(PATH, CLEAN)
    status, out, err = ktrdr("strategies", "leak-check", str(file), "--seed", "3")
    assert (status, err) == (0, "")
    assert out == f"{file}: no leak. {LOOKED.format('made for the check')}\n"
    assert backend.asked[-1] == (PATH, {"strategy": {"name": "mine"}, "seed": 3})


def test_each_leak_is_a_line_with_its_place_and_the_exit_status_is_1(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give(PATH, LEAKING)
    status, out, _ = ktrdr("strategies", "leak-check", "train_1")
    assert status == 1
    changed = "only bars from 815 on were changed (higher); it moved in 31 comparisons"
    assert out.splitlines() == [
        "train_1: leak: feature 1d_mean (X[2J) moved at bar 812 (1971-01-01) from 0.123457 to no number; "
        + changed,
        f"train_1: leak: scaler 1d_mean (X[2J) of fold 1 moved from 0.123457 to 2; {changed}",
        f"train_1: 2 leaks. {LOOKED.format('of the training')}",
    ]
    assert backend.asked == [(PATH, {"training_id": "train_1", "seed": 0})]


def test_for_programs_it_is_exactly_what_the_api_said(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give(PATH, LEAKING)
    status, out, _ = ktrdr("strategies", "leak-check", "train_1", "--json")
    assert (status, json.loads(out)) == (1, LEAKING)


def test_a_file_that_is_not_there_is_no_training(backend: Answers, ktrdr: Ktrdr) -> None:
    status, _, err = ktrdr("strategies", "leak-check", "gone.yaml")
    assert (status, backend.asked) == (2, [])
    assert "can't be read" in err


def test_a_strategy_with_mistakes_is_not_checked(backend: Answers, ktrdr: Ktrdr, file: Path) -> None:
    wrong = {"path": "training.ephocs", "message": "unknown key", "line": 7}
    backend.give("POST /strategies/validate", VALID | {"valid": False, "errors": [wrong]})
    status, _, err = ktrdr("strategies", "leak-check", str(file))
    assert (status, len(backend.asked)) == (1, 1)
    assert err == f"{file}:7: training.ephocs: unknown key\n"
