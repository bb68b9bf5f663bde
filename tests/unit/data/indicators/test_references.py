"""Every indicator is its author's formula, computed a second time in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from ktrdr.data.bars import Bars
from ktrdr.data.indicators import outputs
from ktrdr.data.talib_alone import talib
from ktrdr.domain.grammar.indicators import CATALOGUE
from ktrdr.domain.strategies import Indicator
from tests.unit.data.indicators import lines, oscillators
from tests.unit.data.indicators.averages import Line
from tests.unit.data.indicators.markets import indicator, nasdaq, random_walk, usual_and_unusual

MARKETS: dict[str, Callable[[], Bars]] = {
    "nasdaq": nasdaq,
    "random walk": lambda: random_walk(1, 600),
    "random walk with dead bars": lambda: random_walk(2, 600, dead_bars=0.2),
    "a coin": lambda: random_walk(3, 600, price=2e-5),
}
COLUMNS = ("open", "high", "low", "close", "volume")


@lru_cache
def market(name: str) -> tuple[Bars, dict[str, list[float]]]:
    bars = MARKETS[name]()
    return bars, {column: getattr(bars, column).tolist() for column in COLUMNS}


def reference(name: str, one: Indicator) -> tuple[Line, ...]:
    module = oscillators if hasattr(oscillators, one.type) else lines
    computed: tuple[Line, ...] = getattr(module, one.type)(market(name)[1], **one.parameters)
    return computed


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("kind", CATALOGUE)
def test_an_indicator_is_its_formula_from_its_first_warm_bar_on(kind: str, name: str) -> None:
    """To 1e-9 of its value, with usual and unusual parameters, and NaN where the formula has no value."""
    bars, _ = market(name)
    for one in usual_and_unusual(kind):
        computed, expected = outputs(bars, one), reference(name, one)
        assert len(computed) == len(CATALOGUE[kind][1])
        for values, line in zip(computed, expected, strict=True):
            wanted = np.array([np.nan if value is None else value for value in line])
            scale = np.nanmax(np.abs(wanted))
            np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-9 * min(scale, 1.0))


def test_what_talib_has_too_is_what_talib_says() -> None:
    """Where a window never dries up, our sums and TA-Lib's running ones agree."""
    bars, _ = market("nasdaq")
    (cmf,) = outputs(bars, indicator("cmf", period=20))
    flow = talib.CMF(bars.high, bars.low, bars.close, bars.volume, 20)
    np.testing.assert_allclose(cmf, flow, rtol=1e-9, atol=1e-9)
    (vwap,) = outputs(bars, indicator("vwap", period=20))
    price = talib.VWMA(talib.TYPPRICE(bars.high, bars.low, bars.close), bars.volume, 20)
    np.testing.assert_allclose(vwap, price, rtol=1e-9)
    (distance,) = outputs(bars, indicator("distancefromma", period=20))
    average = talib.SMA(bars.close, 20)
    np.testing.assert_allclose(distance, 100.0 * (bars.close - average) / average, rtol=1e-9, atol=1e-9)
