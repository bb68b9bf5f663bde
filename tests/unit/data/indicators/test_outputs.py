"""What the grammar accepts is computed: every kind, every output, every source, the shortest periods."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ktrdr.data.bars import Bars
from ktrdr.data.indicators import compute, outputs
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.grammar.indicators import CATALOGUE, FROM_ONE, INDICATORS, READS_BARS, SHORTEST, SOURCES
from ktrdr.domain.strategies import Indicator
from tests.unit.data.indicators.markets import Floats, indicator, nasdaq, random_walk


def bars() -> Bars:
    return nasdaq().until(400)


def sources(of: Bars) -> dict[str, Floats]:
    return {
        "close": of.close,
        "open": of.open,
        "high": of.high,
        "low": of.low,
        "volume": of.volume,
        "hl2": (of.high + of.low) / 2.0,
        "hlc3": (of.high + of.low + of.close) / 3.0,
        "ohlc4": (of.open + of.high + of.low + of.close) / 4.0,
    }


def test_everything_in_the_catalogue_is_computed() -> None:
    assert INDICATORS is CATALOGUE
    for kind, (_, names) in CATALOGUE.items():
        assert [values.dtype for values in outputs(bars(), indicator(kind))] == [np.float64] * len(names)


@pytest.mark.parametrize("kind", CATALOGUE)
def test_the_shortest_periods_that_are_accepted_are_computed(kind: str) -> None:
    """One bar less is refused by the grammar where TA-Lib would refuse it."""
    low = {name: 1 if kind in FROM_ONE else SHORTEST.get(name, 1) for name in CATALOGUE[kind][0]}
    if kind == "macd":
        low["slow_period"] += 1
    one = Indicator.model_validate({"type": kind, **low})
    for output in CATALOGUE[kind][1]:
        values = compute(bars(), one, output)
        assert values.shape == (400,)
        assert np.isfinite(values[60:]).all()


@pytest.mark.parametrize("kind", CATALOGUE)
def test_the_longest_periods_that_are_accepted_are_computed(kind: str) -> None:
    """With fewer bars than they need, every output is NaN and nothing is raised; with none, it is empty."""
    high = {name: 1000 for name in CATALOGUE[kind][0]}
    if kind == "macd":
        high["fast_period"] -= 1
    one = Indicator.model_validate({"type": kind, **high})
    for n in (0, 1, 2, 400):
        assert [values.shape for values in outputs(bars().until(n), one)] == [(n,)] * len(CATALOGUE[kind][1])
    if "period" in high:
        assert np.isnan(np.concatenate(outputs(bars(), one))).all()


@pytest.mark.parametrize("kind", [kind for kind, (names, _) in CATALOGUE.items() if "period" in names])
def test_too_short_a_period_is_refused_before_anything_is_computed(kind: str) -> None:
    period = 0 if kind in FROM_ONE else 1
    with pytest.raises(ValueError, match=r"period (of|is)"):
        Indicator.model_validate({"type": kind, "period": period})


@pytest.mark.parametrize("name", ["tenkan_period", "kijun_period", "senkou_period"])
def test_ranges_of_one_bar_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} of ichimoku is at least 2"):
        Indicator.model_validate({"type": "ichimoku", name: 1})


def test_without_a_dot_an_indicator_is_its_first_output() -> None:
    macd = indicator("macd")
    np.testing.assert_array_equal(compute(bars(), macd, None), compute(bars(), macd, "line"))
    assert not np.array_equal(compute(bars(), macd, "line")[40:], compute(bars(), macd, "signal")[40:])


def test_with_a_dot_an_output_is_the_one_of_that_name() -> None:
    """Told apart by what is true of them: a histogram is a difference, an upper band is above."""
    macd = {name: compute(bars(), indicator("macd"), name) for name in ("line", "signal", "histogram")}
    np.testing.assert_allclose(macd["histogram"], macd["line"] - macd["signal"], atol=1e-9)
    for kind in ("bollinger", "donchian", "keltner"):
        upper, middle, lower = (
            compute(bars(), indicator(kind), name)[40:] for name in ("upper", "middle", "lower")
        )
        assert ((upper > middle) & (middle > lower)).all()
    rising = np.arange(400.0)
    market = Bars(bars().time, rising, rising + 1.0, rising, rising + 0.5, bars().volume)
    assert compute(market, indicator("aroon"), "up")[-1] == 100.0
    assert compute(market, indicator("aroon"), "down")[-1] == 0.0
    assert compute(market, indicator("aroon"), "oscillator")[-1] == 100.0
    assert compute(market, indicator("supertrend"), "direction")[-1] == 1.0
    assert compute(market, indicator("supertrend"), "trend")[-1] < rising[-1]


def test_an_output_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="macd has no output 'histogramm'; did you mean 'histogram'"):
        compute(bars(), indicator("macd"), "histogramm")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", sorted(CATALOGUE.keys() - READS_BARS.keys()))
def test_an_indicator_of_one_series_reads_its_source(kind: str, source: str) -> None:
    """It is the same as on a market whose close is that series."""
    one = sources(bars())[source]
    market = Bars(bars().time, one, one, one, one, bars().volume)
    expected = outputs(market, indicator(kind))
    for values, wanted in zip(outputs(bars(), indicator(kind, source)), expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("kind", READS_BARS)
def test_an_indicator_of_the_bars_reads_what_its_definition_names(kind: str) -> None:
    """A column that READS_BARS names moves it when it changes, another does not, and no source does."""
    market = random_walk(4, 300)
    before = np.concatenate(outputs(market, indicator(kind)))
    np.testing.assert_array_equal(before, np.concatenate(outputs(market, indicator(kind, "volume"))))
    for column in ("open", "high", "low", "close", "volume"):
        changed = market.until(len(market))
        values = getattr(changed, column)
        values[150:] *= 1.0 + 0.5 * np.random.default_rng(6).random(150)
        moved = not np.array_equal(before, np.concatenate(outputs(changed, indicator(kind))), equal_nan=True)
        assert moved == (column in READS_BARS[kind]), column


def test_the_bars_are_left_as_they_are() -> None:
    market, before = random_walk(8, 200), random_walk(8, 200)
    for kind in CATALOGUE:
        for values in outputs(market, indicator(kind)):
            values[:] = -1.0
    for column in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(market, column), getattr(before, column))


def test_a_worker_computes_indicators_without_pandas() -> None:
    """TA-Lib would import it to wrap itself; whoever wants pandas afterwards still gets it."""
    code = (
        "import sys, ktrdr.workers.jobs.training; print('pandas' in sys.modules); import pandas; "
        "print(pandas.Series([1]).sum())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "1"]


def test_importing_the_indicators_imports_no_compiler() -> None:
    """numba alone takes as long as a short training; only an indicator that needs it asks for it."""
    code = (
        "import sys, ktrdr.data.indicators; "
        "print(sorted({'numba', 'pandas', 'polars', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
