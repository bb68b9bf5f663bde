"""No feature, scaler or label sees a bar that it could not have seen at the time."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.features import FeatureMatrix, Scaler, compute_features, fit_scaler
from ktrdr.data.loading import load_development, load_with_holdout
from ktrdr.data.market import Market
from ktrdr.domain.market import NASDAQ, midnight
from ktrdr.domain.strategies import INDICATORS, Strategy, parse_strategy
from tests.integration.strategies import SMALL


@lru_cache
def bars() -> Bars:
    return load_development(Catalog(None), "nasdaq").until(900)


def every_indicator() -> Strategy:
    """SMALL with every output of every indicator as a raw input."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["indicators"] |= {f"one_{kind}": {"type": kind} for kind in INDICATORS}
    config["nn_inputs"] += [
        {"raw_indicator": f"one_{kind}.{output}", "normalization": "zscore"}
        for kind, (_, outputs) in INDICATORS.items()
        for output in outputs
    ]
    return parse_strategy(config)


def features_of(bars: Bars, strategy: Strategy) -> FeatureMatrix:
    return compute_features(Market("1d", {("NASDAQ", "1d"): bars}), "NASDAQ", strategy)


def changed_from(original: Bars, first: int) -> Bars:
    """The same bars up to `first`, and another market from there on."""
    other = original.until(len(original))
    move = 1.0 + 0.2 * np.sin(np.arange(len(original) - first) + 1.0)
    for column in (other.open, other.high, other.low, other.close):
        column[first:] *= move * 3.0
    other.high[first:] *= 1.02
    other.volume[first:] *= 7.0
    return other


@pytest.mark.parametrize("t", [60, 200, 451, 898])
def test_a_change_after_t_moves_no_feature_up_to_t(t: int) -> None:
    strategy = every_indicator()
    before = features_of(bars(), strategy).values
    after = features_of(changed_from(bars(), t + 1), strategy).values
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
    moved = (before[t + 1 :] != after[t + 1 :]).any(axis=0)
    assert moved.any(), "the change must be visible somewhere, or this test shows nothing"


def test_a_shorter_history_has_the_same_features() -> None:
    strategy = every_indicator()
    whole = features_of(bars(), strategy).values
    np.testing.assert_array_equal(features_of(bars().until(300), strategy).values, whole[:300])


def test_development_bars_are_cut() -> None:
    """The holdout is not merely unused: it is not in the memory behind the arrays."""
    development = load_development(Catalog(None), "nasdaq")
    whole, first = load_with_holdout(Catalog(None), "nasdaq")
    assert len(development) == first < len(whole)
    assert development.time[-1] <= midnight(NASDAQ.development_end)
    assert whole.time[first] >= midnight(NASDAQ.holdout_start)
    for name in ("time", "open", "high", "low", "close", "volume"):
        column = getattr(development, name)
        assert column.base is None
        np.testing.assert_array_equal(column, getattr(whole, name)[:first])


@pytest.mark.parametrize("step", [0.0, 0.0625])
def test_a_constant_column_is_not_divided_by_zero(step: float) -> None:
    """Nor by the last bit of single precision, which is all that differs here."""
    values = np.float32(1e6) + np.float32(step) * (np.arange(1000, dtype=np.float32) % 2)
    matrix = FeatureMatrix(values[:, None], ("x",), np.array([True]))
    scaler = fit_scaler([(matrix, 0, 1000)])
    assert (scaler.apply(matrix.values) == matrix.values).all()
    assert Scaler.from_json(scaler.to_json()).to_json() == scaler.to_json()


def test_scaled_rows_are_contiguous_and_nobody_elses() -> None:
    """Batches are cut from them by rows; the features that they came from stay as they were."""
    matrix = features_of(bars(), every_indicator())
    before = matrix.values.copy()
    scaler = fit_scaler([(matrix, 200, 600)])
    rows = scaler.apply(matrix.values[200:600])
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(matrix.values, before)
    scaled = rows[:, matrix.scaled & (scaler.deviation != 1.0)]
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=np.float64), 0.0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0, dtype=np.float64), 1.0, atol=1e-5)
