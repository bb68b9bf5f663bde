"""Features over several timeframes and symbols: right, and from nothing that had not closed."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.data import features
from ktrdr.data.bars import Bars
from ktrdr.data.features import (
    FeatureMatrix,
    compute_features,
    first_warm,
    fit_scaler,
    readings,
)
from ktrdr.data.fuzzy import FuzzyLayer
from ktrdr.data.indicators import compute, outputs
from ktrdr.data.inputs import resolve
from ktrdr.data.market import Market
from ktrdr.domain.errors import DatasetNotFound, StepFailed
from ktrdr.domain.market import TIMEFRAME_SECONDS
from ktrdr.domain.strategies import Indicator, Strategy, parse_strategy

CONFIG: dict[str, Any] = {
    "name": "two_by_two",
    "version": "3.0",
    "training_data": {
        "symbols": {"mode": "multi_symbol", "list": ["AAA", "BBB"]},
        "timeframes": {"mode": "multi_timeframe", "list": ["5m", "1h"], "base_timeframe": "5m"},
    },
    "indicators": {
        "rsi_5": {"type": "rsi", "period": 5},
        "macd": {"type": "macd", "fast_period": 3, "slow_period": 6, "signal_period": 3},
        "other_roc": {"type": "roc", "period": 3, "data_source": "BBB"},
    },
    "fuzzy_sets": {
        "rsi_state": {
            "indicator": "rsi_5",
            "low": [0, 25, 45],
            "high": {"type": "sigmoid", "parameters": [70, 0.2]},
            "middle": [30, 45, 55, 70],
        },
        "side": {"indicator": "macd.histogram", "flat": {"type": "gaussian", "parameters": [0, 0.2]}},
        "other": {"indicator": "other_roc", "up": [0, 1, 1]},
    },
    "nn_inputs": [
        {"raw_indicator": "macd.signal", "timeframes": ["1h"], "normalization": "zscore"},
        {"fuzzy_set": "rsi_state", "timeframes": "all"},
        {"fuzzy_set": "side", "timeframes": ["5m"]},
        {"fuzzy_set": "other", "timeframes": "all"},
        {"raw_indicator": "macd", "timeframes": ["5m"], "normalization": "zscore"},
    ],
}
MINUTE = TIMEFRAME_SECONDS["1m"]
COLUMNS = ("open", "high", "low", "close", "volume")
SERIES = [(symbol, timeframe) for symbol in ("AAA", "BBB") for timeframe in ("5m", "1h")]


def strategy() -> Strategy:
    return parse_strategy(CONFIG)


def walk(seed: int, timeframe: str, hours: int) -> Bars:
    """Bars of a random walk; one in twenty is missing, as on a thin market."""
    random = np.random.default_rng([seed, TIMEFRAME_SECONDS[timeframe]])
    time = np.arange(0, hours * 60 * MINUTE, TIMEFRAME_SECONDS[timeframe], dtype=np.int64)
    time = time[random.random(len(time)) > 0.05]
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, len(time))))
    opening = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.002, np.minimum(opening, close) * 0.998
    return Bars(time, opening, high, low, close, random.uniform(1.0, 9.0, len(time)))


@lru_cache
def market() -> Market:
    return Market("5m", {key: walk(SERIES.index(key), key[1], 60) for key in SERIES})


def known_at(bars: Bars, timeframe: str, moment: int) -> int:
    """How many bars have closed at a moment."""
    return int((bars.time + TIMEFRAME_SECONDS[timeframe] <= moment).sum())


def changed_after(moment: int, factor: float) -> Market:
    """The market as it was known at a moment, and others from there on in every series."""
    series = {}
    for (symbol, timeframe), bars in market().series.items():
        other, first = bars.until(len(bars)), known_at(bars, timeframe, moment)
        for name in COLUMNS:
            getattr(other, name)[first:] *= factor * np.linspace(1.0, 2.0, len(bars) - first)
        series[symbol, timeframe] = other
    return Market("5m", series)


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 650), st.sampled_from(["AAA", "BBB"]), st.sampled_from([0.2, 3.0]))
def test_what_was_not_known_at_a_bars_close_moves_nothing_up_to_it(
    t: int, symbol: str, factor: float
) -> None:
    base = market().bars(symbol, "5m")
    moment = int(base.time[t]) + TIMEFRAME_SECONDS["5m"]
    other = changed_after(moment, factor)
    for of in (compute_features, readings):
        before, after = of(market(), symbol, strategy()).values, of(other, symbol, strategy()).values
        np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
        moved = (before[t + 1 :] != after[t + 1 :]) & ~np.isnan(before[t + 1 :])
        assert moved.any(), "the change must be visible somewhere, or this test shows nothing"


def test_a_series_that_ends_earlier_has_the_same_features() -> None:
    """However long a series is, and so wherever its rows lie in a block of them."""
    moment = int(market().bars("AAA", "5m").time[400]) + TIMEFRAME_SECONDS["5m"]
    cut = {
        (symbol, timeframe): bars.until(known_at(bars, timeframe, moment))
        for (symbol, timeframe), bars in market().series.items()
    }
    whole = compute_features(market(), "AAA", strategy()).values
    np.testing.assert_array_equal(compute_features(Market("5m", cut), "AAA", strategy()).values, whole[:401])


def test_a_row_is_made_from_the_last_bars_that_had_closed() -> None:
    """Against a look-up bar by bar, of every reading."""
    given_readings = readings(market(), "AAA", strategy())
    base = market().bars("AAA", "5m")
    specs = [("AAA", "1h", "macd", "signal"), ("AAA", "5m", "rsi_5", None), ("AAA", "1h", "rsi_5", None)]
    specs += [("AAA", "5m", "macd", "histogram"), ("BBB", "5m", "other_roc", None)]
    specs += [("BBB", "1h", "other_roc", None), ("AAA", "5m", "macd", "line")]
    assert given_readings.names == (
        "1h_macd.signal",
        "5m_rsi_5",
        "1h_rsi_5",
        "5m_macd.histogram",
        "5m_other_roc",
        "1h_other_roc",
        "5m_macd.line",
    )
    for number, (symbol, timeframe, name, output) in enumerate(specs):
        bars = market().bars(symbol, timeframe)
        values = compute(bars, strategy().indicators[name], output)
        known = [known_at(bars, timeframe, int(time) + TIMEFRAME_SECONDS["5m"]) for time in base.time]
        wanted = [values[count - 1] if count else np.nan for count in known]
        np.testing.assert_array_equal(given_readings.values[:, number], np.array(wanted, dtype=np.float32))
    assert np.isnan(given_readings.values[0]).all()


def test_features_are_the_fixed_layers_of_the_readings() -> None:
    """Bit for bit, so that learning starts at what the strategy's file says."""
    for symbol in ("AAA", "BBB"):
        matrix = compute_features(market(), symbol, strategy())
        values = torch.from_numpy(readings(market(), symbol, strategy()).values)
        for learnable in (False, True):
            layer = FuzzyLayer(resolve(strategy()), learnable=learnable)
            np.testing.assert_array_equal(matrix.values, layer(values).detach().numpy())


def test_names_are_those_of_the_strategy() -> None:
    matrix = compute_features(market(), "AAA", strategy())
    assert matrix.names == strategy().features()
    assert matrix.names[:4] == (
        "1h_macd.signal",
        "5m_rsi_state_low",
        "5m_rsi_state_high",
        "5m_rsi_state_middle",
    )
    assert [name for name, one in zip(matrix.names, matrix.scaled, strict=True) if one] == [
        "1h_macd.signal",
        "5m_macd",
    ]


def test_with_and_without_its_dot_an_output_is_one_reading() -> None:
    config = copy.deepcopy(CONFIG)
    config["nn_inputs"] += [{"raw_indicator": "macd.line", "timeframes": ["5m"], "normalization": "zscore"}]
    inputs = resolve(parse_strategy(config))
    assert [one.name for one in inputs.readings].count("5m_macd.line") == 1
    assert inputs.features[-1].reading == inputs.features[-2].reading
    assert inputs.features[-1].name != inputs.features[-2].name


def test_timeframes_of_a_fuzzy_set_have_the_same_shapes() -> None:
    """What is learnt of them is one set in the strategy's file."""
    inputs = resolve(strategy())
    labels = [(one.fuzzy_set, one.label) for one in inputs.shapes]
    wanted = [("rsi_state", "low"), ("rsi_state", "high"), ("rsi_state", "middle")]
    assert labels == [*wanted, ("side", "flat"), ("other", "up")]
    of = {one.name: one.shape for one in inputs.features}
    assert of["5m_rsi_state_high"] == of["1h_rsi_state_high"]


def test_an_indicator_is_computed_once_a_timeframe(monkeypatch: pytest.MonkeyPatch) -> None:
    """All its outputs at a time, however many inputs read it."""
    asked: list[tuple[int, str]] = []

    def counted(bars: Bars, indicator: Indicator) -> Any:
        asked.append((len(bars), indicator.type))
        return outputs(bars, indicator)

    monkeypatch.setattr(features, "outputs", counted)
    compute_features(market(), "AAA", strategy())
    assert len(asked) == len(set(asked)) == 6


def test_a_series_that_was_not_loaded_is_named() -> None:
    alone = Market("5m", {("AAA", "5m"): market().bars("AAA", "5m")})
    with pytest.raises(DatasetNotFound, match=r"No bars of 'AAA' at 1h were loaded"):
        compute_features(alone, "AAA", strategy())


def test_a_market_that_has_not_opened_yet_gives_no_number() -> None:
    """A series without a bar leaves its columns empty; the others have theirs."""
    nothing = walk(9, "5m", 60).until(0)
    other = Market("5m", {**market().series, ("BBB", "5m"): nothing})
    matrix = compute_features(other, "AAA", strategy())
    empty = [name for name, one in zip(matrix.names, matrix.values.T, strict=True) if np.isnan(one).all()]
    assert empty == ["5m_other_up"]
    with pytest.raises(StepFailed, match=r"Never a number: 5m_other_up\.") as failed:
        first_warm(matrix, 0)
    assert failed.value.step_code == "NOT_ENOUGH_DATA"


def test_a_scaler_is_that_of_the_training_rows_of_all_symbols() -> None:
    """Together, as if they stood in one table; later rows of any symbol change nothing."""
    one, other = (compute_features(market(), symbol, strategy()) for symbol in ("AAA", "BBB"))
    first = max(first_warm(one, 0), first_warm(other, 0))
    ranges = [(one, first, 500), (other, first, 450)]
    scaler = fit_scaler(ranges)
    rows = np.concatenate([one.values[first:500], other.values[first:450]]).astype(np.float64)
    use = one.scaled
    np.testing.assert_allclose(scaler.mean[use], rows.mean(axis=0)[use], rtol=1e-12)
    np.testing.assert_allclose(scaler.deviation[use], rows.std(axis=0)[use], rtol=1e-12)
    assert (scaler.mean[~use] == 0.0).all()
    assert (scaler.deviation[~use] == 1.0).all()
    later = [replace(matrix, values=matrix.values.copy()) for matrix, _, _ in ranges]
    for matrix, (_, _, last) in zip(later, ranges, strict=True):
        matrix.values[last:] = 1e6
        matrix.values[:first] = np.nan
    again = fit_scaler([(matrix, a, b) for matrix, (_, a, b) in zip(later, ranges, strict=True)])
    assert again.to_json() == scaler.to_json()


def test_a_gap_after_the_warm_up_is_named() -> None:
    matrix = compute_features(market(), "AAA", strategy())
    warm = first_warm(matrix, 0)
    assert np.isnan(matrix.values[warm - 1]).any()
    assert first_warm(matrix, warm + 7) == warm + 7
    broken = FeatureMatrix(matrix.values.copy(), matrix.names, matrix.scaled)
    broken.values[warm + 40, 2] = np.inf
    with pytest.raises(StepFailed, match=rf"Feature 5m_rsi_state_high of bar {warm + 40} is inf") as failed:
        first_warm(broken, 0)
    assert failed.value.step_code == "NOT_FINITE"
