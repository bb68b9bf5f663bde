"""Trainings without a session, over real HTTP and by real workers: every kind of network to its end."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.backend import Backend
from tests.integration.conftest import free_port
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.integration.test_bad_input import refused
from tests.integration.trainings import await_completed
from tests.unit.data.series import put, walk
from tests.unit.grammar.whole import TEXT

SPLIT = {"data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}, "walk_forward": None, "ensemble": None}
CELLS = {"sequence_length": 5, "hidden_size": 8, "num_layers": 1, "dropout": 0.1}
BOTH = {"mode": "multi_symbol", "list": ["NASDAQ", "OTHER"]}
RETURNS = {"output_format": "regression", "num_classes": None}
EPOCHS = 3
# The squared error of a rate that rises from epoch to epoch: at some point each step overshoots.
DIVERGING: dict[str, Any] = {
    "model": {"architecture": {"hidden_layers": [16, 16], "activation": "elu"}},
    "decisions": RETURNS,
    "training": {
        "epochs": 400,
        "batch_size": 64,
        "loss": "huber",
        "huber_delta": 1e30,
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 1.0,
        "lr_scheduler": {"type": "none", "warmup_epochs": 200},
    },
}
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"model": {"type": "lstm", "architecture": CELLS}, "training": SPLIT},
    "gru": {"model": {"type": "gru", "architecture": CELLS}, "training": SPLIT},
    "regression": {"decisions": RETURNS},
    "learning sets": {"model": {"learn_memberships": True}, "training": SPLIT},
    "stopping": {
        "training": SPLIT
        | {"epochs": 500, "learning_rate": 0.1, "early_stopping": {"enabled": True, "patience": 2}}
    },
    "symbols": {"training_data": {"symbols": BOTH}, "training": SPLIT},
    "diverging": DIVERGING,
    "no device": {"training": SPLIT | {"device": "cuda:99"}},
}
# The example as a regression of a split, for a session.
RETURNS_TEXT = (
    TEXT.replace("epochs: 100", f"epochs: {EPOCHS}")
    .replace("output_format: classification", "output_format: regression")
    .replace("  num_classes: 3\n", "")
    .replace("loss: cross_entropy", "loss: huber")
    .replace("{source: zigzag, zigzag_threshold: 0.02, label_lookahead: 20}", "{source: forward_return}")
)
Trainings = tuple[Backend, Mapping[str, str]]


def strategy(kind: str) -> dict[str, Any]:
    """SMALL, with what `KINDS` changes of it; None takes a key out."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training"]["epochs"] = EPOCHS
    for part, values in KINDS[kind].items():
        changed = {**config[part], **values}
        config[part] = {name: one for name, one in changed.items() if one is not None}
    return config


def start(backend: Backend, **body: Any) -> httpx.Response:
    return backend.client.post("/training/start", json={"seed": 5, **body})


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """A backend whose workers train them all, two at a time, beside a session; and their ids."""
    home: Path = tmp_path_factory.mktemp("trainings") / "home"
    put(home / "data", "OTHER", "1d", walk("1d", 2000, first=date(2000, 1, 3)))
    backend = Backend(home, free_port(), KTRDR_WORKER_SLOTS="2", **OPEN_GATES)
    try:
        backend.start()
        answers = {"example": start(backend, strategy_text=TEXT.replace("epochs: 100", f"epochs: {EPOCHS}"))}
        answers |= {kind: start(backend, strategy=strategy(kind)) for kind in KINDS}
        ids = {kind: one.json()["data"]["operation_id"] for kind, one in answers.items()}
        ids["session"], _ = backend.trigger(strategy_text=RETURNS_TEXT, seed=3)
        yield backend, ids
    finally:
        backend.close()


def history(backend: Backend, operation_id: str, **params: Any) -> Any:
    return backend.get(f"/operations/{operation_id}/history", **params)


@pytest.mark.parametrize("kind", ["example", "lstm", "gru", "learning sets", "symbols"])
def test_a_split_strategy_trains_one_network_and_is_measured_on_both_segments(
    trainings: Trainings, kind: str
) -> None:
    """Every row of both segments is in the confusion matrix, and the progress ends at 100 %."""
    backend, ids = trainings
    done = await_completed(backend, ids[kind])
    assert done["progress"]["percent"] == 100.0
    result, classes = done["result"], done["result"]["classes"]
    assert result["networks"] == [{"fold": "split", "member": 0, "epochs_run": EPOCHS} | best(result)]
    for segment in ("test", "validation"):
        figures = result["metrics"][segment]
        assert list(figures["per_class"]) == classes
        assert sum(map(sum, figures["confusion_matrix"])) == figures["rows"]
        assert 0.0 <= figures["expected_calibration_error"] <= 1.0
        assert 0.0 < figures["log_loss"] < 10.0
    assert result["metrics"]["chance"] == 1.0 / len(classes)
    assert result["features"][0].startswith("1d_")


def best(result: Mapping[str, Any]) -> dict[str, int]:
    kept = result["networks"][0]["best_epoch"]
    assert kept in range(1, EPOCHS + 1)
    return {"best_epoch": kept}


def test_the_history_has_every_epoch_of_every_network(trainings: Trainings) -> None:
    """A walk-forward regression of three networks, from its model: numbered, and finite."""
    backend, ids = trainings
    done = await_completed(backend, ids["regression"])
    told = history(backend, ids["regression"])
    numbers = [(one["network"], one["epoch"]) for one in told["epochs"]]
    assert numbers == [(network, epoch) for network in (1, 2, 3) for epoch in range(1, EPOCHS + 1)]
    assert told["epochs_run"] == done["result"]["epochs_run"] == 3 * EPOCHS
    assert all(math.isfinite(one["loss"]) for one in told["epochs"])
    assert history(backend, ids["regression"], last=2)["epochs"] == told["epochs"][-2:]


def test_a_regression_is_measured_against_the_mean_and_by_direction(trainings: Trainings) -> None:
    backend, ids = trainings
    metrics = await_completed(backend, ids["regression"])["result"]["metrics"]
    figures = metrics["test"]
    assert metrics["chance"] == 0.5
    assert 0.0 < figures["mae"] <= figures["rmse"]
    assert figures["r2"] < 1.0
    assert metrics["balanced_accuracy"] == figures["balanced_accuracy"]


def test_early_stopping_ends_a_training_sooner_and_keeps_its_best_epoch(trainings: Trainings) -> None:
    """Its patience after the best epoch; the history is as long as what ran, and the best is its lowest."""
    backend, ids = trainings
    done = await_completed(backend, ids["stopping"])
    (network,) = done["result"]["networks"]
    epochs = history(backend, ids["stopping"])["epochs"]
    assert len(epochs) == network["epochs_run"] == network["best_epoch"] + 2 < 500
    losses = [one["validation_loss"] for one in epochs]
    assert min(losses) == losses[network["best_epoch"] - 1]
    assert done["progress"]["percent"] == 100.0


def test_a_loss_that_is_no_number_ends_it_with_the_epoch_before_kept(trainings: Trainings) -> None:
    """The error names epoch, batch and network; checkpoint and history are of the epoch before, intact,
    and so is the progress: loss and accuracy, the pace, and how long the rest would have taken."""
    backend, ids = trainings
    operation_id = ids["diverging"]
    failed = backend.await_status(operation_id, "FAILED")
    assert failed["error_code"] == "LOSS_NOT_FINITE"
    detail = failed["progress"]["detail"]
    epoch, seconds = detail["epoch"], detail["seconds_per_epoch"]
    assert detail["eta_seconds"] == pytest.approx(seconds * (detail["total_epochs"] - epoch))
    assert f"loss {detail['loss']:.4f}, accuracy {detail['accuracy']:.1%}" in failed["progress"]["message"]
    assert (detail["validation_loss"], detail["learning_rate"]) == (None, pytest.approx(epoch / 201))
    assert f"in epoch {epoch + 1}, batch " in failed["error_message"]
    assert ", of network 1." in failed["error_message"]
    kept = backend.get(f"/checkpoints/{operation_id}")
    assert (kept["epoch"], kept["integrity"], kept["resumable"]) == (epoch, "intact", True)
    told = history(backend, operation_id)
    assert [one["epoch"] for one in told["epochs"]] == list(range(1, epoch + 1))
    assert epoch > 1


def test_a_device_that_is_not_there_is_said_with_what_is_there(trainings: Trainings) -> None:
    backend, ids = trainings
    failed = backend.await_status(ids["no device"], "FAILED")
    assert failed["error_code"] == "DEVICE_MISSING"
    assert "cpu" in failed["error_message"]
    refused(
        backend.client.get(f"/operations/{ids['no device']}/history"),
        404,
        "HISTORY_NOT_FOUND",
    )
    refused(start(backend, strategy=SMALL, device="tpu"), 422, "VALIDATION_ERROR")


def test_several_symbols_are_trained_and_traded_from_one_account(trainings: Trainings) -> None:
    """The trades name both symbols, and the equity is one."""
    backend, ids = trainings
    await_completed(backend, ids["symbols"])
    answer = backend.client.post("/backtests/start", json={"training_operation_id": ids["symbols"]})
    assert answer.status_code == 202, answer.text
    result = await_completed(backend, answer.json()["data"]["operation_id"])["result"]
    assert result["metrics"]["trades"] > 0
    assert len(result["equity_sha256"]) == 64


def test_the_mistakes_of_a_text_have_lines(trainings: Trainings) -> None:
    """Of a training and of a session; and a request has one strategy."""
    backend, _ = trainings
    text = TEXT.replace("epochs:", "ephocs:")
    line = text.splitlines().index("  ephocs: 100") + 1
    for path, more in (("/training/start", {}), ("/agent/trigger", {"trigger_reason": "manual"})):
        answer = backend.client.post(path, json={"strategy_text": text, **more})
        (fault,) = refused(answer, 422, "VALIDATION_ERROR")["details"]["errors"]
        assert (fault["path"], fault["line"]) == ("training.ephocs", line)
        answer = backend.client.post(path, json={"strategy_text": text, "strategy": SMALL, **more})
        refused(answer, 422, "VALIDATION_ERROR")


def test_a_session_runs_through_with_a_split_regression_in_yaml(trainings: Trainings) -> None:
    """To its verdict: trained, backtested on the segment that nothing looked at, and examined."""
    backend, ids = trainings
    await_completed(backend, ids["session"])
    (session,) = backend.get("/agent/sessions")
    assert session["training_result"]["metrics"]["chance"] == 0.5
    assert session["backtest_result"]["bars"] > 100
    assert session["assessment"]["verdict"] in ("ESTABLISHED", "NOT_PROVEN")
    assert session["result_fingerprint"]


def test_a_history_that_is_not_what_was_saved_is_said_to_be_so(trainings: Trainings) -> None:
    """It is not called missing; and the model that was changed is not backtested either."""
    backend, ids = trainings
    model = await_completed(backend, ids["gru"])["result"]["model"]
    path = backend.home / "artifacts" / model["path"] / "history.json"
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    answer = backend.client.get(f"/operations/{ids['gru']}/history")
    error = refused(answer, 422, "CHECKPOINT_CORRUPTED")
    assert error["details"]["artifact"] == "history.json"
