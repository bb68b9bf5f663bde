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
from ktrdr.training.loop import EpochReport, Snapshot, Trained, balanced_accuracy, train
from ktrdr.training.problem import Problem, build_problem
from tests.integration.strategies import SMALL

EPOCHS = 3
TOTAL = 9  # two folds and the final fit


def problem(**training: Any) -> Problem:
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training"] |= {"epochs": EPOCHS, "batch_size": 64, **training}
    return build_problem(load_development(Catalog(None), "nasdaq").until(700), parse_strategy(config), seed=3)


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


def stop_at(epoch: int, start: Snapshot | None = None) -> Snapshot:
    kept: list[Snapshot] = []

    def on_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        if report.epoch == epoch:
            kept.append(through_files(snapshot()))
        return report.epoch < epoch

    assert train(problem(), start, on_epoch) is None
    return kept[0]


def to_the_end(start: Snapshot | None) -> tuple[Trained, list[EpochReport]]:
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport, _: Callable[[], Snapshot]) -> bool:
        reports.append(report)
        return True

    trained = train(problem(), start, on_epoch)
    assert trained is not None
    return trained, reports


@lru_cache
def uninterrupted() -> tuple[Trained, list[EpochReport]]:
    return to_the_end(None)


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
    bars = load_development(Catalog(None), "nasdaq").until(700)
    other = build_problem(bars, parse_strategy(problem().strategy.to_config()), seed=4)
    trained = train(other, None, lambda *_: True)
    assert trained is not None
    assert digest(trained.tensors) != digest(uninterrupted()[0].tensors)


def test_a_loss_that_is_no_number_names_its_batch() -> None:
    broken = problem()
    fold, size = broken.folds[0], broken.strategy.training.batch_size
    order = torch.randperm(
        fold.train_end - fold.first, generator=torch.Generator().manual_seed(broken.fits[0].seed)
    )
    broken.features.values[fold.first + int(order[size + 5])] = float("nan")  # in the second batch
    with pytest.raises(StepFailed, match=r"The loss is nan in epoch 1, batch 2, of network 1\.") as failed:
        train(broken, None, lambda *_: True)
    assert failed.value.step_code == "LOSS_NOT_FINITE"


@pytest.mark.parametrize(("stop", "epoch", "network"), [(2, 3, 1), (5, 3, 2)])
def test_a_loss_that_is_no_number_names_its_epoch(stop: int, epoch: int, network: int) -> None:
    snapshot = stop_at(stop)
    snapshot.tensors["model.0.weight"].fill_(float("inf"))
    with pytest.raises(StepFailed, match=rf"in epoch {epoch}, batch 1, of network {network}\."):
        train(problem(), snapshot, lambda *_: True)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    truth = torch.tensor([0, 0, 0, 2])
    votes = torch.tensor([0, 0, 1, 2])
    assert balanced_accuracy(truth, votes) == pytest.approx((2 / 3 + 1) / 2)
