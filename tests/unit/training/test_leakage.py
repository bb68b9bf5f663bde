"""The whole pipeline on markets without an edge: a leak would show as skill."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development, load_with_holdout
from ktrdr.domain.market import TIMEFRAME_SECONDS
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training.loop import train
from ktrdr.training.model import load_network, predict
from ktrdr.training.problem import build_problem
from ktrdr.training.signals import holdout_signals, validation_signals
from tests.integration.strategies import SMALL
from tests.markets import daily

CHANCE = 1 / 3


def random_walk(seed: int, days: int) -> Bars:
    """Eight independent steps a day; no bar tells anything of the next."""
    steps = np.random.default_rng(seed).normal(0.0, 0.005, (days, 8))
    prices = 1000.0 * np.exp(np.cumsum(steps).reshape(days, 8))
    opening = np.concatenate([[1000.0], prices[:-1, -1]])
    path = np.column_stack([opening, prices])
    close = prices[:, -1].copy()
    time = np.arange(days) * TIMEFRAME_SECONDS["1d"]
    return Bars(time, opening, path.max(axis=1), path.min(axis=1), close, np.full(days, 1e6))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_walk_teaches_nothing(seed: int) -> None:
    """About 1,500 out-of-fold rows; labels overlap by five, so three standard errors are 0.08."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training"] |= {"epochs": 30, "ensemble": 1}
    problem = build_problem(daily(random_walk(seed, 3000)), parse_strategy(config), seed=seed)
    trained = train(problem, None, lambda *_: True)
    assert trained is not None
    assert abs(trained.metrics["balanced_accuracy"] - CHANCE) < 0.08
    assert abs(trained.metrics["directional_accuracy"] - 0.5) < 0.12


def small_run() -> tuple[Any, Any, Any]:
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training"] |= {"epochs": 4, "ensemble": 2}
    config["decisions"]["confidence_threshold"] = 0.0
    strategy = parse_strategy(config)
    problem = build_problem(daily(load_development(Catalog(None), "nasdaq")), strategy, seed=3)
    trained = train(problem, None, lambda *_: True)
    assert trained is not None
    return strategy, problem, trained


def test_each_block_is_predicted_by_its_own_folds_networks() -> None:
    strategy, problem, trained = small_run()
    (signal,) = validation_signals(
        trained.tensors, trained.manifest, daily(load_development(Catalog(None), "nasdaq")), strategy
    )
    for number, fold in enumerate(problem.folds[:-1]):
        rows, ((first, last),) = problem.samples(fold, fold.block), fold.block
        networks = [index for index, fit in enumerate(problem.fits) if fit.fold == number]
        assert len(networks) == 2
        odds = torch.stack(
            [
                predict(load_network(trained.tensors, index, strategy), rows, classes=True)
                for index in networks
            ]
        ).mean(dim=0)
        expected = (odds.argmax(dim=1) - 1).numpy()
        np.testing.assert_array_equal(signal.targets[first:last], expected)


def test_a_target_is_decided_by_the_bars_up_to_its_own() -> None:
    """On the holdout too: another market from bar t + 1 on moves no target up to t."""
    strategy, _, trained = small_run()
    whole, first = load_with_holdout(Catalog(None), "nasdaq")
    t = first + 40
    other = whole.until(len(whole))
    for column in (other.open, other.high, other.low, other.close):
        column[t + 1 :] *= np.linspace(2.0, 0.2, len(whole) - t - 1)
    before, after = (
        holdout_signals(trained.tensors, trained.manifest, daily(bars), strategy, {"NASDAQ": first})[
            0
        ].targets
        for bars in (whole, other)
    )
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
    assert (before[t + 1 :] != after[t + 1 :]).any()
    assert not before[:first].any()


def test_the_manifest_says_what_was_trained_on() -> None:
    _, problem, trained = small_run()
    for fold, said in zip(problem.folds, trained.manifest["folds"], strict=True):
        assert said["train"] == [list(fold.train[0])]
        assert said["train"][0][1] + 5 == said["block"][0][0]
    assert len(trained.metrics["fold_balanced_accuracy"]) == len(problem.folds) - 1
    assert {str(one.dtype) for one in trained.tensors.values()} == {"torch.float32"}
    assert trained.manifest["dtype"] == "float32"
