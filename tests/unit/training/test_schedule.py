"""The learning rate of each epoch, and which epoch's network is kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.domain.strategies import EarlyStopping, LrScheduler
from ktrdr.training.schedule import Schedule
from ktrdr.training.stopping import Watch

BASE, EPOCHS = 0.01, 12
Scheduler = torch.optim.lr_scheduler.LRScheduler


def rates(**spec: Any) -> list[float]:
    schedule = Schedule(LrScheduler(**spec), BASE, EPOCHS)
    return [schedule.rate(epoch) for epoch in range(1, EPOCHS + 1)]


def of_pytorch(make: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler, found = make(optimizer), []
    for _ in range(EPOCHS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (
            {"type": "cosine", "min_lr": 0.001},
            lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, EPOCHS, eta_min=0.001),
        ),
        (
            {"type": "step", "step_size": 4, "gamma": 0.3},
            lambda one: torch.optim.lr_scheduler.StepLR(one, 4, gamma=0.3),
        ),
        (
            {"type": "exponential", "gamma": 0.8},
            lambda one: torch.optim.lr_scheduler.ExponentialLR(one, gamma=0.8),
        ),
    ],
    ids=["cosine", "step", "exponential"],
)
def test_a_schedule_has_the_rates_of_pytorchs(spec: dict[str, Any], make: Any) -> None:
    assert rates(**spec) == pytest.approx(of_pytorch(make), rel=1e-9)


def test_a_plateau_falls_when_pytorchs_does() -> None:
    losses = [1.0, 0.9, 0.9, 0.95, 0.9, 0.8, 0.85, 0.85, 0.85, 0.85, 0.7, 0.7]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.0)
    ours = Schedule(LrScheduler(type="plateau", gamma=0.5, patience=1), BASE, EPOCHS)
    for epoch, loss in enumerate(losses, start=1):
        assert ours.rate(epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step(loss)
        ours.observe(loss)
    assert ours.rate(EPOCHS) < BASE


def test_no_rate_falls_below_the_least() -> None:
    assert min(rates(type="exponential", gamma=0.1, min_lr=0.002)) == 0.002


def test_a_warm_up_rises_to_the_base_rate() -> None:
    found = rates(type="cosine", warmup_epochs=3)
    assert found[:4] == pytest.approx([BASE / 4, BASE / 2, 3 * BASE / 4, BASE])
    assert found[4] < BASE


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=30), st.integers(0, 29))
def test_what_is_restored_anywhere_goes_on_the_same(losses: list[float], at: int) -> None:
    """Through JSON; the plateau's rate and early stopping depend on all the losses before."""
    spec = LrScheduler(type="plateau", patience=1, gamma=0.5)
    stop = EarlyStopping(patience=2, min_delta=0.1)
    whole, watch = Schedule(spec, BASE, EPOCHS), Watch(stop)
    again, other = Schedule(spec, BASE, EPOCHS), Watch(stop)
    for epoch, loss in enumerate(losses, start=1):
        if epoch == at:
            again.restore(json.loads(json.dumps(whole.state(), allow_nan=False)))
            other.restore(json.loads(json.dumps(watch.state(), allow_nan=False)))
        whole.observe(loss)
        best = watch.observe(epoch, loss)
        if epoch >= at > 0:
            again.observe(loss)
            assert other.observe(epoch, loss) == best
            assert again.rate(epoch + 1) == whole.rate(epoch + 1)
            assert (other.exhausted, other.best_epoch) == (watch.exhausted, watch.best_epoch)


def test_the_best_epoch_is_kept_and_patience_ends() -> None:
    watch = Watch(EarlyStopping(patience=2))
    bests = [watch.observe(epoch, loss) for epoch, loss in enumerate([1.0, 0.8, 0.9, 0.8], start=1)]
    assert (bests, watch.best_epoch, watch.exhausted) == ([True, True, False, False], 2, True)


def test_a_fall_below_the_minimum_does_not_renew_patience_but_is_the_best() -> None:
    watch = Watch(EarlyStopping(patience=2, min_delta=0.5))
    for epoch, loss in enumerate([1.0, 0.9, 0.8], start=1):
        watch.observe(epoch, loss)
    assert (watch.best_epoch, watch.exhausted) == (3, True)


def test_without_early_stopping_the_best_is_kept_and_nothing_ends() -> None:
    watch = Watch(None)
    for epoch in range(1, 100):
        watch.observe(epoch, float(epoch))
    assert (watch.best_epoch, watch.exhausted) == (1, False)


def test_an_endless_loss_is_no_best() -> None:
    watch = Watch(None)
    assert not watch.observe(1, math.inf)
    assert watch.best_epoch == 0
