"""Stop anywhere, resume, and the networks are the same to the last bit."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training import loop
from ktrdr.training.loop import EpochReport, Snapshot, Trained, train
from ktrdr.training.problem import Problem, build_problem
from tests.integration.strategies import SMALL
from tests.markets import daily

EPOCHS = 3
TOTAL = 9  # two folds and the final fit
CELLS = {"sequence_length": 4, "hidden_size": 8, "num_layers": 2, "dropout": 0.2}
STOPPING = {"early_stopping": {"enabled": True, "patience": 1}}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lstm": {"model": {"type": "lstm", "architecture": CELLS}},
    "gru": {"model": {"type": "gru", "architecture": CELLS}, "training": {"gradient_clip": 0.5}},
    "adamw": {"training": {"optimizer": "adamw", "weight_decay": 0.1}},
    "sgd": {"training": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "loss": "focal"}},
    "balanced": {"training": {"class_weights": "balanced", "optimizer": "sgd"}},
    "regression": {"decisions": {"output_format": "regression", "num_classes": None}},
    "cosine": {"training": {"lr_scheduler": {"type": "cosine", "warmup_epochs": 1}}},
    "plateau": {"training": {"lr_scheduler": {"type": "plateau", "patience": 1, "gamma": 0.3}}},
    "stopping": {"training": STOPPING | {"epochs": 12, "learning_rate": 0.05}},
    "split": {
        "training": STOPPING
        | {"data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}, "walk_forward": None, "epochs": 9}
    },
    "learning sets": {"model": {"learn_memberships": True}},
    "learning sets, gru": {"model": {"type": "gru", "architecture": CELLS, "learn_memberships": True}},
    "zigzag": {"training": {"labels": {"source": "zigzag", "zigzag_threshold": 0.03, "label_lookahead": 5}}},
}


def problem(kind: str = "plain", seed: int = 3) -> Problem:
    """A small strategy, with what `KINDS` changes of it."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training"] |= {"epochs": EPOCHS, "batch_size": 64}
    for part, values in KINDS[kind].items():
        config[part] = {**config[part], **values}
    return build_problem(
        daily(load_development(Catalog(None), "nasdaq").until(700)), parse_strategy(config), seed
    )


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of all tensors, with their names, types and shapes."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        one = tensors[name]
        whole.update(f"{name} {one.dtype} {tuple(one.shape)} ".encode())
        whole.update(one.contiguous().numpy().tobytes())
    return whole.hexdigest()


def through_files(snapshot: Snapshot) -> Snapshot:
    """What a resume reads: safetensors and JSON."""
    return Snapshot(load(save(dict(snapshot.tensors))), json.loads(json.dumps(dict(snapshot.state))))


def stop_at(epoch: int, start: Snapshot | None = None, kind: str = "plain") -> Snapshot:
    kept: list[Snapshot] = []

    def on_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        if report.epoch == epoch:
            kept.append(through_files(snapshot()))
        return report.epoch < epoch

    assert train(problem(kind), start, on_epoch) is None
    return kept[0]


def to_the_end(start: Snapshot | None, kind: str = "plain") -> tuple[Trained, list[EpochReport]]:
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport, _: Callable[[], Snapshot]) -> bool:
        reports.append(report)
        return True

    trained = train(problem(kind), start, on_epoch)
    assert trained is not None
    return trained, reports


@lru_cache
def uninterrupted(kind: str = "plain") -> tuple[Trained, list[EpochReport]]:
    return to_the_end(None, kind)


def test_epochs_count_over_all_fits() -> None:
    trained, reports = uninterrupted()
    assert [one.epoch for one in reports] == list(range(1, TOTAL + 1))
    assert {one.total_epochs for one in reports} == {TOTAL}
    assert [one.fold for one in reports[::EPOCHS]] == ["fold 1", "fold 2", "final"]
    assert trained.metrics["networks"] == 3


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 6, 8, 9])
def test_a_resumed_training_is_bit_identical(epoch: int) -> None:
    """3 and 6 are boundaries between fits, 9 is the end itself."""
    whole, all_reports = uninterrupted()
    snapshot = stop_at(epoch)
    torch.manual_seed(999)  # another process has another state
    resumed, reports = to_the_end(snapshot)
    assert reports == all_reports[epoch:]
    assert digest(resumed.tensors) == digest(whole.tensors)
    assert resumed.manifest == whole.manifest
    assert resumed.metrics == whole.metrics
    assert resumed.history == whole.history


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_training_resumes_bit_identical_after_any_epoch(kind: str) -> None:
    """Weights, metrics and history; the optimizer's moments, dropout, the learning rate's schedule and
    early stopping go on where they were."""
    whole, reports = uninterrupted(kind)
    for at, report in enumerate(reports):
        torch.manual_seed(999)
        resumed, rest = to_the_end(stop_at(report.epoch, kind=kind), kind)
        assert rest == reports[at + 1 :]
        assert digest(resumed.tensors) == digest(whole.tensors)
        assert (resumed.metrics, resumed.history) == (whole.metrics, whole.history)


@pytest.mark.parametrize("batch", [1, 20, 45])
def test_a_long_epoch_is_left_in_its_middle(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """A stop does not wait for the end of an epoch that takes long: it is dropped, and done anew."""
    monkeypatch.setattr(loop, "LONG_EPOCH_SECONDS", 0.0)
    asked, kept = 0, []

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= batch

    def on_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        if asked >= batch:
            kept.append((report.epoch, through_files(snapshot())))
        return asked < batch

    assert train(problem(), None, on_epoch, should_stop=should_stop) is None
    ((epoch, snapshot),) = kept
    whole, all_reports = uninterrupted()
    resumed, reports = to_the_end(snapshot)
    assert reports == all_reports[epoch:]
    assert digest(resumed.tensors) == digest(whole.tensors)


def test_a_short_epoch_is_finished_first() -> None:
    """Nothing is asked between its batches, after the first epoch has shown how short they are."""
    reports: list[int] = []

    def on_epoch(report: EpochReport, _: Callable[[], Snapshot]) -> bool:
        reports.append(report.epoch)
        return report.epoch < 3

    assert train(problem(), None, on_epoch, should_stop=lambda: bool(reports)) is None
    assert reports == [1, 2, 3]


def test_it_can_stop_again_and_again() -> None:
    snapshot: Snapshot | None = None
    for epoch in range(1, TOTAL + 1):
        snapshot = stop_at(epoch, snapshot)
    assert digest(to_the_end(snapshot)[0].tensors) == digest(uninterrupted()[0].tensors)


def test_a_snapshot_does_not_change_afterwards() -> None:
    """What was taken at an epoch is that epoch's, however long the loop goes on."""
    taken: list[tuple[Snapshot, str, str]] = []

    def on_epoch(_: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        one = snapshot()
        taken.append((one, digest(one.tensors), json.dumps(dict(one.state))))
        return True

    train(problem(), None, on_epoch)
    for one, tensors, state in taken:
        assert (digest(one.tensors), json.dumps(dict(one.state))) == (tensors, state)


def test_another_seed_is_another_network() -> None:
    trained = train(problem(seed=4), None, lambda *_: True)
    assert trained is not None
    assert digest(trained.tensors) != digest(uninterrupted()[0].tensors)


def test_a_loss_that_is_no_number_names_its_batch() -> None:
    broken = problem()
    fold, size = broken.folds[0], broken.strategy.training.batch_size
    ((first, last),) = fold.train
    order = torch.randperm(last - first, generator=torch.Generator().manual_seed(broken.fits[0].seed))
    broken.series[0].features.values[first + int(order[size + 5])] = float("nan")  # in the second batch
    with pytest.raises(StepFailed, match=r"The loss is nan in epoch 1, batch 2, of network 1\.") as failed:
        train(broken, None, lambda *_: True)
    assert failed.value.step_code == "LOSS_NOT_FINITE"


@pytest.mark.parametrize(("stop", "epoch", "network"), [(2, 3, 1), (5, 3, 2)])
def test_a_loss_that_is_no_number_names_its_epoch(stop: int, epoch: int, network: int) -> None:
    snapshot = stop_at(stop)
    snapshot.tensors["network.0.weight"].fill_(float("inf"))
    with pytest.raises(StepFailed, match=rf"in epoch {epoch}, batch 1, of network {network}\."):
        train(problem(), snapshot, lambda *_: True)


def test_early_stopping_ends_a_fit_and_keeps_the_best_network() -> None:
    trained, _ = uninterrupted("stopping")
    rows = [one for one in trained.history if one["network"] == 1]
    losses = [one["validation_loss"] for one in rows]
    assert len(rows) < 12
    assert losses.index(min(losses)) == len(losses) - 2  # patience 1: one epoch after the best
    kept = trained.tensors["finished.0.0.weight"]
    at_best = stop_at(losses.index(min(losses)) + 1, kind="stopping").tensors["network.0.weight"]
    assert torch.equal(kept, at_best)


def test_the_learning_rate_falls_along_the_cosine_after_the_warm_up() -> None:
    rates = [one["learning_rate"] for one in uninterrupted("cosine")[0].history[:EPOCHS]]
    assert rates == pytest.approx([0.0015, 0.003, 0.0015])


def test_history_has_a_row_for_every_epoch_of_every_network() -> None:
    history = uninterrupted()[0].history
    assert [(one["network"], one["epoch"]) for one in history] == [
        (network, epoch) for network in (1, 2, 3) for epoch in (1, 2, 3)
    ]
    assert all(0.0 < one["loss"] < 5.0 and 0.0 < one["accuracy"] <= 1.0 for one in history)
    assert all(one["validation_loss"] is None for one in history)
