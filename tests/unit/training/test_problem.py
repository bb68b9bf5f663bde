"""What is learnt from what: nothing fitted or learnt sees a row that it could not have seen at the time."""

from __future__ import annotations

import copy
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.data.market import Market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.training.problem import Fold, Problem, build_problem
from ktrdr.training.splits import FINAL
from tests.integration.strategies import SMALL
from tests.markets import daily

STOPPING = {"enabled": True, "patience": 3}
SPLIT = {"walk_forward": None, "data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}}
WAYS: dict[str, dict[str, Any]] = {
    "walk-forward": {},
    "walk-forward, watched": {"early_stopping": STOPPING},
    "by shares": SPLIT | {"early_stopping": STOPPING},
    "validation only": {"walk_forward": None, "validation_split": 0.25},
}
LABELS: dict[str, dict[str, Any]] = {
    "forward_return": {"horizon": 5},
    "zigzag": {"zigzag_threshold": 0.03, "label_lookahead": 7},
    "triple_barrier": {"max_holding_period": 8, "vol_span": 20},
    "regime": {"horizon": 6},
    "context": {"horizon": 4},
}


@lru_cache
def bars() -> Bars:
    return load_development(Catalog(None), "nasdaq").until(900)


def strategy(way: str = "walk-forward", **changes: Any) -> Strategy:
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["nn_inputs"].append({"raw_indicator": "roc_10", "normalization": "zscore"})
    config["training"] |= WAYS[way]
    for part, values in changes.items():
        config[part] = {**config[part], **values}
    return parse_strategy(config)


def labelled(source: str, way: str = "walk-forward") -> Strategy:
    labels = {"source": source} | LABELS[source]
    return strategy(way, training=WAYS[way] | {"labels": labels}, decisions={"num_classes": None})


def changed_from(original: Bars, first: int) -> Bars:
    """The same bars up to `first`, and another market from there on."""
    other = original.until(len(original))
    move = 1.0 + 0.2 * np.sin(np.arange(len(original) - first) + 1.0)
    for column in (other.open, other.high, other.low, other.close):
        column[first:] *= move * 3.0
    other.high[first:] *= 1.02
    return other


def after_training(fold: Fold) -> int:
    """The first row that is there to be watched or predicted."""
    ((first, _),) = fold.watched or fold.block
    return first


def assert_same_training(one: Problem, fold: Fold, other: Problem, same: Fold) -> None:
    assert (same.train, same.edges) == (fold.train, fold.edges)
    assert same.scaler.to_json() == fold.scaler.to_json()
    assert one.samples(fold, fold.train).matrix.equal(other.samples(same, same.train).matrix)
    assert one.targets(fold, fold.train).equal(other.targets(same, same.train))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", LABELS)
def test_another_future_moves_nothing_that_is_learnt(source: str, way: str) -> None:
    """From the first row after a training segment on the market is another one: rows, scaler, class
    edges, inputs and labels of the training stay what they were."""
    problem = build_problem(daily(bars()), labelled(source, way), seed=1)
    for number, fold in enumerate(problem.folds):
        if fold.name == FINAL and not fold.watched:
            continue  # it ends where the data end
        other = build_problem(
            daily(changed_from(bars(), after_training(fold))), labelled(source, way), seed=1
        )
        assert_same_training(problem, fold, other, other.folds[number])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", LABELS)
def test_what_follows_begins_after_the_last_label_looked(source: str, way: str) -> None:
    """The purge is as long as a label looks ahead: the training's end, and that of the watched rows."""
    problem = build_problem(daily(bars()), labelled(source, way), seed=1)
    reach = problem.labelling.reach
    for fold in problem.folds:
        ((_, train_end),) = fold.train
        assert train_end + reach == after_training(fold)
        assert np.isfinite(problem.series[0].score[slice(*fold.train[0])]).all()
        ((block_first, block_last),) = fold.block
        if fold.watched and block_first > fold.watched[0][0]:
            assert fold.watched[0][1] + reach == block_first or fold.watched[0][1] == train_end + reach
        for _, last in problem.known(fold.block):
            assert last <= len(bars()) - reach or block_first == block_last


def test_walk_forward_predicts_every_row_after_the_first_part_once() -> None:
    problem = build_problem(daily(bars()), strategy(), seed=1)
    blocks = [fold.block[0] for fold in problem.folds[:-1]]
    assert blocks[-1][1] == len(bars())
    assert all(one[1] == after[0] for one, after in pairwise(blocks))
    assert problem.folds[-1].name == FINAL


def test_shares_are_of_the_rows_in_the_order_of_time() -> None:
    problem = build_problem(daily(bars()), strategy("by shares"), seed=1)
    (fold,) = problem.folds
    (first, train_end), (watched_first, _), (test_first, last) = fold.train[0], fold.watched[0], fold.block[0]
    rows = last - first
    assert first < train_end < watched_first < test_first < last == len(bars())
    assert (watched_first - first, test_first - first) == (round(0.6 * rows), round(0.8 * rows))
    assert len(problem.fits) == 1


def test_without_a_test_share_the_watched_rows_are_predicted() -> None:
    problem = build_problem(daily(bars()), strategy("validation only"), seed=1)
    (fold,) = problem.folds
    assert fold.block[0][0] == fold.watched[0][0]
    assert fold.watched[0][1] == problem.known(fold.block)[0][1]


def test_the_scaler_is_that_of_the_training_rows() -> None:
    problem = build_problem(daily(bars()), strategy(), seed=1)
    features = problem.series[0].features
    assert features.scaled.any()
    for fold in problem.folds:
        rows = features.values[slice(*fold.train[0])][:, features.scaled].astype(np.float64)
        np.testing.assert_allclose(fold.scaler.mean[features.scaled], rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(fold.scaler.deviation[features.scaled], rows.std(axis=0), rtol=1e-12)
        assert (fold.scaler.mean[~features.scaled] == 0.0).all()


def test_a_window_is_the_rows_up_to_its_own() -> None:
    cells = {"sequence_length": 7, "hidden_size": 4, "num_layers": 1}
    recurrent = strategy(model={"type": "gru", "architecture": cells})
    problem = build_problem(daily(bars()), recurrent, seed=1)
    fold, features = problem.folds[0], problem.series[0].features.values
    ((first, last),) = fold.train
    samples = problem.samples(fold, fold.train)
    assert len(samples) == last - first
    windows = samples.batch(torch.tensor([0, 5, last - first - 1])).numpy()
    for window, row in zip(windows, (first, first + 5, last - 1), strict=True):
        np.testing.assert_array_equal(window, fold.scaler.apply(features[row - 6 : row + 1]))


def two_symbols(second: Bars) -> Market:
    return Market("1d", {("NASDAQ", "1d"): bars(), ("OTHER", "1d"): second})


def pooled() -> Strategy:
    symbols = {"mode": "multi_symbol", "list": ["NASDAQ", "OTHER"]}
    return strategy(training_data={"symbols": symbols})


def later(original: Bars, days: int) -> Bars:
    """A symbol that was listed later."""
    return Bars(*(getattr(original, name)[days:].copy() for name in ("time", *PRICES)))


PRICES = ("open", "high", "low", "close", "volume")


def test_several_symbols_are_split_at_the_same_time() -> None:
    """A fold's block begins at one instant in every symbol, and the training ends before it."""
    problem = build_problem(two_symbols(later(bars(), 100)), pooled(), seed=1)
    one, other = problem.series
    for fold in problem.folds[:-1]:
        (_, train_end), (_, other_end) = fold.train
        (begin, _), (other_begin, _) = fold.block
        assert one.time[begin] == other.time[other_begin]
        assert (begin - train_end, other_begin - other_end) == (5, 5)
        rows = (train_end - fold.train[0][0]) + (other_end - fold.train[1][0])
        assert len(problem.samples(fold, fold.train)) == len(problem.targets(fold, fold.train)) == rows


def test_several_symbols_are_watched_from_the_same_time_on() -> None:
    """Nobody learns from days on which another symbol chooses the epoch."""
    config = pooled().to_config()
    config["training"]["early_stopping"] = STOPPING
    problem = build_problem(two_symbols(later(bars(), 100)), parse_strategy(config), seed=1)
    one, other = problem.series
    for fold in problem.folds:
        (begin, _), (other_begin, _) = fold.watched
        assert one.time[begin] == other.time[other_begin]
        assert (begin - fold.train[0][1], other_begin - fold.train[1][1]) == (5, 5)


def test_another_future_of_any_symbol_moves_nothing_that_is_learnt() -> None:
    second = later(bars(), 100)
    problem = build_problem(two_symbols(second), pooled(), seed=1)
    fold = problem.folds[0]
    other = build_problem(two_symbols(changed_from(second, fold.block[1][0])), pooled(), seed=1)
    assert_same_training(problem, fold, other, other.folds[0])


def test_too_few_bars_say_so() -> None:
    with pytest.raises(StepFailed, match="120 bars leave") as refused:
        build_problem(daily(bars().until(120)), parse_strategy(SMALL), seed=1)
    assert refused.value.step_code == "NOT_ENOUGH_DATA"
