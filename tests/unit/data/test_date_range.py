"""The strategy's date range bounds what is learnt from and what is predicted."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import numpy as np
import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.market import NASDAQ, midnight
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.training.loop import train
from ktrdr.training.problem import build_problem
from ktrdr.training.signals import validation_signals
from tests.integration.strategies import SMALL
from tests.markets import daily


def within(start: date, end: date, **training: Any) -> Strategy:
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training_data"]["date_range"] = {"start": start.isoformat(), "end": end.isoformat()}
    config["training"] |= training
    return parse_strategy(config)


def test_nothing_outside_the_range_is_learnt_from_or_predicted() -> None:
    bars, start, end = load_development(Catalog(None), "nasdaq"), date(2003, 1, 2), date(2006, 12, 29)
    strategy = within(start, end, epochs=1)
    problem = build_problem(daily(bars), strategy, seed=1)
    first = int(np.flatnonzero(bars.time >= midnight(start))[0])
    last = int(np.flatnonzero(bars.time <= midnight(end))[-1])
    (series,) = problem.series
    assert problem.folds[0].train[0][0] == first + SMALL["training_data"]["history_required"]
    assert series.end == len(series.score) == last + 1
    assert np.isnan(series.score[-5:]).all(), "a label would see past the range"
    trained = train(problem, None, lambda *_: True)
    assert trained is not None
    (signal,) = validation_signals(trained.tensors, trained.manifest, daily(bars), strategy)
    targets, from_bar, to_bar = signal.targets, signal.first, signal.last
    assert (from_bar, to_bar) == (problem.folds[0].block[0][0], last + 1)
    assert not targets[:from_bar].any()
    assert not targets[to_bar:].any()


def test_the_range_of_all_development_changes_nothing() -> None:
    bars = load_development(Catalog(None), "nasdaq")
    whole = build_problem(daily(bars), parse_strategy(SMALL), seed=1)
    ranged = build_problem(daily(bars), within(NASDAQ.start, NASDAQ.development_end), seed=1)
    assert [one.scaler.to_json() for one in ranged.folds] == [one.scaler.to_json() for one in whole.folds]
    assert [(one.train, one.block) for one in ranged.folds] == [(one.train, one.block) for one in whole.folds]


@pytest.mark.parametrize(("start", "end"), [((2014, 1, 1), (2018, 12, 31)), ((2005, 1, 3), (2005, 2, 1))])
def test_a_range_with_too_few_bars_says_so(start: Any, end: Any) -> None:
    """The holdout's own dates hold no development bar at all."""
    strategy = within(date(*start), date(*end))
    with pytest.raises(StepFailed, match="widen the date_range") as refused:
        build_problem(daily(load_development(Catalog(None), "nasdaq")), strategy, seed=1)
    assert refused.value.step_code == "NOT_ENOUGH_DATA"
