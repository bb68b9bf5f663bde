"""`ktrdr train` and what a training came to: what is sent, and what a person sees."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ktrdr.cli import watch
from ktrdr.cli.client import Client
from ktrdr.cli.watch import duration, follow_operation
from tests.unit.cli.conftest import Answers
from tests.unit.cli.test_commands import OPERATION
from tests.unit.cli.test_strategies import BAD, GOOD

Ktrdr = Callable[..., tuple[int, str, str]]

FIGURES: dict[str, Any] = {
    "rows": 100,
    "accuracy": 0.5,
    "balanced_accuracy": 0.41,
    "majority_accuracy": 0.47,
    "per_class": {
        "down": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 40},
        "up": {"precision": 0.6, "recall": 1.0, "f1": 0.75, "support": 60},
    },
    "confusion_matrix": [[0, 40], [0, 60]],
    "log_loss": 0.69,
    "brier_score": 0.5,
    "expected_calibration_error": 0.03,
    "reliability": [],
    "directional_accuracy": None,
    "directional_rows": 0,
}
REGRESSION: dict[str, Any] = {
    "rows": 50,
    "mae": 0.01,
    "rmse": 0.02,
    "r2": -0.001,
    "correlation": None,
    "baseline_mae": 0.011,
    "directional_accuracy": 0.52,
    "directional_rows": 50,
    "balanced_accuracy": 0.51,
}
RESULT: dict[str, Any] = {
    "metrics": {"chance": 0.5, "test": FIGURES, "validation": REGRESSION},
    "model": {"path": "training_1.model/ab12", "files": {}},
    "weights_sha256": "0123",
    "features": ["1d_a_low", "1d_a_high"],
    "classes": ["down", "up"],
    "epochs_run": 30,
    "networks": [{"fold": "split", "member": 0, "epochs_run": 30, "best_epoch": 12}],
    "device": "cpu",
}
DETAIL: dict[str, Any] = {
    "epoch": 4,
    "total_epochs": 10,
    "fold": "fold 1",
    "member": 0,
    "loss": 1.05,
    "accuracy": 0.4,
    "validation_loss": 1.1,
    "validation_accuracy": 0.35,
    "learning_rate": 0.001,
    "seconds_per_epoch": 0.25,
    "eta_seconds": 90.4,
}
RUNNING: dict[str, Any] = OPERATION | {
    "operation_id": "training_1",
    "operation_type": "training",
    "status": "RUNNING",
    "progress": {"percent": 40.0, "message": "epoch 4 of 10, loss 1.0500", "detail": DETAIL},
    "error_code": None,
    "error_message": None,
    "resumable": False,
}
DONE = RUNNING | {"status": "COMPLETED", "result": RESULT, "checkpoint": None}
DIVERGED = RUNNING | {
    "status": "FAILED",
    "error_code": "LOSS_NOT_FINITE",
    "error_message": "The loss is nan in epoch 5, batch 2, of network 1.",
    "resumable": True,
}
EPOCH: dict[str, Any] = {"network": 1, "epoch": 7, "loss": 1.05, "accuracy": 0.4, "learning_rate": 0.001}
EPOCH |= {"validation_loss": None, "validation_accuracy": None}


@pytest.fixture
def file(backend: Answers, tmp_path: Path) -> Path:
    backend.give("POST /strategies/validate", GOOD)
    backend.give("POST /training/start", RUNNING)
    path = tmp_path / "s.yaml"
    path.write_text("name: mine\n")
    return path


def test_a_training_is_started_and_says_how_to_follow_it(backend: Answers, ktrdr: Ktrdr, file: Path) -> None:
    words = f"train {file} --seed 7 --dataset nasdaq --device cuda:1 --cpus 2 --gpus 1".split()
    status, out, _ = ktrdr(*words)
    assert status == 0
    assert backend.asked[-1] == (
        "POST /training/start",
        {
            "strategy": {"name": "mine"},
            "seed": 7,
            "dataset": "nasdaq",
            "device": "cuda:1",
            "resources": {"num_cpus": 2, "num_gpus": 1.0},
        },
    )
    assert out.splitlines() == [
        "Training started (training_1).",
        "Follow it: ktrdr operations watch training_1",
    ]


def test_a_strategy_with_a_mistake_is_named_by_line_and_not_trained(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("POST /strategies/validate", BAD)
    status, out, err = ktrdr("train", str(file))
    assert (status, out, len(backend.asked)) == (1, "", 1)
    assert err == f"{file}:7: training.ephocs: unknown key; did you mean 'epochs'?\n"


def test_watching_ends_with_the_figures_beside_what_chance_gives(
    backend: Answers, ktrdr: Ktrdr, file: Path
) -> None:
    backend.give("GET /operations/training_1", DONE)
    status, out, _ = ktrdr("train", str(file), "--watch")
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "Test: rows that nothing had looked at (100)" in lines
    assert "accuracy 50.0% (47.0% for the largest class)" in lines
    assert "balanced accuracy 41.0% (50.0% by chance)" in lines
    assert "direction - of 0 calls (50.0% by chance)" in lines
    assert "CLASS PRECISION RECALL F1 ROWS AS DOWN AS UP" in lines
    assert "down - 0.0% 0.0% 40 0 40" in lines
    assert "up 60.0% 100.0% 75.0% 60 0 60" in lines
    assert "Validation: rows that were watched while learning (50)" in lines
    assert "R² -0.0010" in lines
    assert "features 1d_a_low, 1d_a_high" in lines
    assert "kept the networks of epoch 12" in lines


def test_a_completed_training_shows_the_same_tables_later(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /operations/training_1", DONE)
    watched = ktrdr("operations", "watch", "training_1")[1]
    shown = ktrdr("operations", "show", "training_1")[1]
    assert shown.endswith(watched)


def test_a_training_of_an_older_ktrdr_and_another_operation_are_shown_without_tables(
    backend: Answers, ktrdr: Ktrdr
) -> None:
    older = {"metrics": {"balanced_accuracy": 0.4}, "model": RESULT["model"], "weights_sha256": "0123"}
    backtest = {"metrics": {"sharpe": 1.0}, "bars": 10}
    for found in ({"result": older}, {"operation_type": "backtesting", "result": backtest}):
        backend.give("GET /operations/training_1", DONE | found)
        status, out, _ = ktrdr("operations", "show", "training_1")
        assert (status, "Model" in out) == (0, False)


def test_a_training_that_failed_says_why_and_how_to_go_on(backend: Answers, ktrdr: Ktrdr, file: Path) -> None:
    backend.give("GET /operations/training_1", DIVERGED)
    status, out, _ = ktrdr("train", str(file), "--watch")
    assert status == 1
    assert "LOSS_NOT_FINITE: The loss is nan in epoch 5, batch 2, of network 1." in out
    assert out.splitlines()[-1] == "Go on from its checkpoint: ktrdr operations resume training_1"


@pytest.mark.parametrize(("end", "expected"), [(DONE, 0), (DIVERGED, 1)])
def test_for_programs_stdout_is_the_operation_alone(
    backend: Answers,
    ktrdr: Ktrdr,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: dict[str, Any],
    expected: int,
) -> None:
    """What is said meanwhile goes to stderr."""
    monkeypatch.setattr(watch, "LINE_SECONDS", 0.0)
    backend.give("GET /operations/training_1", end)
    status, out, err = ktrdr("train", str(file), "--watch", "--json")
    assert (status, json.loads(out)) == (expected, end)
    assert "epoch 4 of 10" in err
    assert json.loads(ktrdr("train", str(file), "--json")[1]) == RUNNING


def test_who_stops_watching_is_told_that_it_goes_on(
    backend: Answers, ktrdr: Ktrdr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control-C ends the following, not the training."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    backend.give("GET /operations/training_1", RUNNING)
    monkeypatch.setattr("ktrdr.cli.watch.time.sleep", interrupt)
    status, out, _ = ktrdr("operations", "watch", "training_1")
    assert (status, out) == (130, "It goes on. Follow it: ktrdr operations watch training_1\n")
    assert backend.asked == [("GET /operations/training_1", None)]


def test_the_history_is_a_row_an_epoch(backend: Answers, ktrdr: Ktrdr) -> None:
    told = {"operation_id": "training_1", "status": "RUNNING", "epochs_run": 7, "epochs": [EPOCH]}
    backend.give("GET /operations/training_1/history", told)
    status, out, _ = ktrdr("operations", "history", "training_1", "--last", "1")
    assert status == 0
    assert out.splitlines()[1].split() == ["1", "7", "1.0500", "40.0%", "-", "-", "0.001"]
    assert out.splitlines()[-1] == "The last 1 of 7 epochs; --last shows more."
    assert backend.asked == [("GET /operations/training_1/history?last=1", None)]
    assert json.loads(ktrdr("operations", "history", "training_1", "--json")[1]) == told


class Told(Client):
    """Operations one after another; the last one stays."""

    def __init__(self, *operations: Mapping[str, Any]) -> None:
        super().__init__(os.environ.get("KTRDR_URL", "http://127.0.0.1:1"))
        self.left = list(operations)

    def get(self, path: str, **params: Any) -> Any:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_seen_while_it_runs(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """A terminal has the last epoch's figures below the bar; a pipe has a line with what is left."""
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(watch, "LINE_SECONDS", 0.0)
    waiting = RUNNING | {"queue_position": 2, "progress": {"percent": 0.0, "message": "", "detail": {}}}
    out = StringIO()
    shown = Console(file=out, force_terminal=terminal, width=90, highlight=False)
    ended = follow_operation(Told(waiting, RUNNING, RUNNING, DONE), "training_1", console=shown)
    assert ended is DONE
    if not terminal:
        assert out.getvalue().splitlines()[0] == "     40%  epoch 4 of 10, loss 1.0500  1:30 left"
        return
    for said in (
        "waits in the queue: 2",
        "epoch 4 of 10, fold 1, member 0",
        "learning rate 0.001, 0.25 s an epoch",
        "training    loss 1.0500, accuracy 40.0%",
        "validation  loss 1.1000, accuracy 35.0%",
        "1:30 left",
    ):
        assert said in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (47.4, "47 s"), (59.7, "1:00"), (185.0, "3:05"), (3729.0, "1:02:09")]
)
def test_durations_are_short(seconds: float, said: str) -> None:
    assert duration(seconds) == said
