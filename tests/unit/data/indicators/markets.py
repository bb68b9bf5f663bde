"""Markets to compute indicators on: a real one, random ones, and such as stand still."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.grammar.indicators import CATALOGUE
from ktrdr.domain.strategies import Indicator

Floats = NDArray[np.float64]

# A second set of parameters for each kind: no two are equal, so that a swapped order shows.
UNUSUAL: dict[str, dict[str, int | float]] = {
    "macd": {"fast_period": 5, "slow_period": 13, "signal_period": 4},
    "stochastic": {"k_period": 7, "d_period": 4, "smooth_k": 2},
    "bollinger": {"period": 15, "multiplier": 1.3},
    "bollingerbandwidth": {"period": 15, "multiplier": 1.3},
    "keltner": {"period": 9, "atr_period": 15, "multiplier": 1.5},
    "supertrend": {"period": 7, "multiplier": 0.7},
    "ichimoku": {"tenkan_period": 11, "kijun_period": 5, "senkou_period": 30, "displacement": 7},
    "parabolicsar": {"step": 0.03, "maximum": 0.11},
    "obv": {},
    "adline": {},
}


def indicator(kind: str, source: str = "close", **parameters: int | float) -> Indicator:
    """An indicator with every default filled in."""
    whole: dict[str, Any] = {
        "type": kind,
        "source": source,
        "parameters": {**CATALOGUE[kind][0], **parameters},
    }
    return Indicator.model_construct(**whole)


def usual_and_unusual(kind: str) -> tuple[Indicator, Indicator]:
    unusual = UNUSUAL.get(kind, {"period": 7})
    return indicator(kind), indicator(kind, "close", **unusual)


@lru_cache
def nasdaq() -> Bars:
    return load_development(Catalog(None), "nasdaq")


def random_walk(seed: int, n: int, *, price: float = 100.0, dead_bars: float = 0.0) -> Bars:
    """Bars with gaps between them; a share of `dead_bars` repeats the last close without volume."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0.0, 0.02, n)))
    opened = close * np.exp(random.normal(0.0, 0.01, n))
    high = np.maximum(opened, close) * (1.0 + random.random(n) * 0.01)
    low = np.minimum(opened, close) * (1.0 - random.random(n) * 0.01)
    volume = np.round(random.lognormal(3.0, 1.0, n), 2)
    for t in np.flatnonzero(random.random(n) < dead_bars):
        still = close[t - 1] if t > 0 else close[0]
        opened[t] = high[t] = low[t] = close[t] = still
        volume[t] = 0.0
    return bars_of(opened, high, low, close, volume)


def bars_of(opened: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> Bars:
    return Bars(np.arange(len(close)), opened, high, low, close, volume)


def constant(n: int, price: float = 100.0, volume: float = 0.0) -> Bars:
    """Every price the same in every bar."""
    still = np.full(n, price)
    return bars_of(still, still.copy(), still.copy(), still.copy(), np.full(n, volume))


def points(n: int, volume: float = 0.0) -> Bars:
    """A price that moves from bar to bar and not within one."""
    close = 50.1 + np.cumsum(np.random.default_rng(5).normal(0.0, 0.3, n))
    return bars_of(close, close.copy(), close.copy(), close.copy(), np.full(n, volume))


def dried_up(n: int, seed: int) -> Bars:
    """A market in which trading stops for the middle third and starts again."""
    bars = random_walk(seed, n)
    first, last = n // 3, 2 * n // 3
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[first:last] = bars.close[first - 1]
    bars.volume[first:last] = 0.0
    return bars
