"""Every bug that is planted is found and named; without one nothing is."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.data.bars import COLUMNS, Bars
from ktrdr.data.catalog import Catalog
from ktrdr.domain.leaks import Leak, LeakKind, LeakReport
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.training.leaks import find_leaks
from tests.unit.data.series import put, walk
from tests.unit.training.planted import PLANTED

HOURS = 1300
CONFIG: dict[str, Any] = {
    "name": "two_symbols_two_timeframes",
    "version": "3.0",
    "training_data": {
        "symbols": {"mode": "single", "symbol": "AAA"},
        "timeframes": {"mode": "multi_timeframe", "list": ["1h", "1d"], "base_timeframe": "1h"},
    },
    "indicators": {
        "rsi_5": {"type": "rsi", "period": 5},
        "mean": {"type": "sma", "period": 5},
        "other": {"type": "roc", "period": 3, "data_source": "BBB"},
    },
    "fuzzy_sets": {"state": {"indicator": "rsi_5", "low": [0, 30, 60], "high": [40, 70, 100]}},
    "nn_inputs": [
        {"fuzzy_set": "state", "timeframes": "all"},
        {"raw_indicator": "mean", "timeframes": "all", "normalization": "zscore"},
        {"raw_indicator": "other", "timeframes": "all", "normalization": "zscore"},
    ],
    "model": {"type": "mlp", "architecture": {"hidden_layers": [8], "activation": "tanh"}},
    "decisions": {"output_format": "classification", "num_classes": 3, "confidence_threshold": 0.4},
    "training": {
        "epochs": 5,
        "batch_size": 128,
        "learning_rate": 0.01,
        "walk_forward": {"folds": 2, "initial_fraction": 0.5},
        "labels": {"source": "forward_return", "horizon": 5},
    },
}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "watching": {"training": {"early_stopping": {"enabled": True, "patience": 3}}},
    "barriers": {"training": {"labels": {"source": "triple_barrier", "max_holding_period": 8}}},
    "recurrent": {
        "model": {"type": "gru", "architecture": {"sequence_length": 6, "hidden_size": 6, "num_layers": 1}}
    },
    "learning its sets": {"model": {"learn_memberships": True}},
    "by shares": {
        "training": {"walk_forward": None, "data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    },
    "validation only": {"training": {"walk_forward": None, "validation_split": 0.25}},
    "a return": {"decisions": {"output_format": "regression", "num_classes": None}},
    "two symbols": {"training_data": {"symbols": {"mode": "multi_symbol", "list": ["AAA", "BBB"]}}},
    "two symbols, watching": {
        "training_data": {"symbols": {"mode": "multi_symbol", "list": ["AAA", "BBB"]}},
        "training": {"early_stopping": {"enabled": True, "patience": 3}},
    },
    "symbols that open at other minutes": {
        "training_data": {
            "symbols": {"mode": "multi_symbol", "list": ["AAA", "HALF"]},
            "timeframes": {"mode": "single", "timeframe": "1h"},
        }
    },
    "a range of dates": {"training_data": {"date_range": {"start": "2024-01-03", "end": "2024-02-05"}}},
}


def strategy(name: str) -> Strategy:
    config = copy.deepcopy(CONFIG)
    for part, values in CHANGES[name].items():
        config[part] |= values
    return parse_strategy(config)


def with_gaps(bars: Bars) -> Bars:
    """Closed for some hours every day, and for three days once."""
    hour = np.arange(len(bars))
    open_ = (hour % 24 < 20) & ~((hour > 300) & (hour < 372))
    return Bars(*(getattr(bars, name)[open_] for name in COLUMNS))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    root: Path = tmp_path_factory.mktemp("data")
    put(root, "AAA", "1h", walk("1h", HOURS))
    put(root, "BBB", "1h", with_gaps(walk("1h", HOURS, seed=2)))
    half = walk("1h", HOURS, seed=3)
    put(root, "HALF", "1h", replace(half, time=half.time + 1800))
    return Catalog(root)


def checked(catalog: Catalog, name: str) -> LeakReport:
    return find_leaks(catalog, strategy(name), seed=1, moments=5)


def names(report: LeakReport, kind: LeakKind) -> set[str]:
    return {one.name for one in report.leaks if one.kind is kind}


@pytest.mark.parametrize("name", CHANGES)
def test_a_strategy_without_a_bug_raises_no_alarm(catalog: Catalog, name: str) -> None:
    """Over two timeframes and a series with gaps, however it is split, learnt and decided."""
    assert checked(catalog, name).leaks == ()


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_leak_is_found_and_named(
    catalog: Catalog, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = PLANTED[bug]
    planted.plant(monkeypatch)
    report = checked(catalog, planted.strategy)
    found = names(report, planted.kind)
    assert found >= planted.names
    if planted.kind is LeakKind.FEATURE:
        assert found == planted.names
    elif planted.kind is not LeakKind.INPUT:
        assert not names(report, LeakKind.FEATURE)
    assert all(placed(one) for one in report.leaks)


def placed(leak: Leak) -> bool:
    """The bar that moved had closed when the first that was changed began, or a fold is named."""
    if leak.kind in (LeakKind.FEATURE, LeakKind.READING, LeakKind.TARGET):
        return leak.bar is not None and leak.time is not None and leak.bar < leak.known
    return leak.fold is not None


def test_there_are_twenty_and_more() -> None:
    assert len(PLANTED) >= 20
