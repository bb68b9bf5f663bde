"""How much a price moves, estimated bar by bar from the bars up to it.

Every estimate is the deviation of one bar's logarithmic return (for `atr` a fraction of the price,
which is nearly the same), (n,), and NaN until it is warm. No sum runs over more than its own window,
so that a bar outside of it moves not even the last bit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.talib_alone import talib
from ktrdr.domain.labels import SHORTEST_VOL_SPAN

Floats = NDArray[np.float64]

# A variance below this share of the mean square is what rounding leaves of a difference, not movement.
ROUNDING = 1e-13


def volatility(bars: Bars, method: str, span: int) -> Floats:
    """(n,) the volatility of each bar from its last `span` returns: `ewm`, `rolling`, or `atr`.

    NaN for the first `span` bars. Raises ValueError for an unknown method or too short a span.
    """
    if method not in SHORTEST_VOL_SPAN:
        raise ValueError(f"unknown vol_method '{method}'; allowed: {', '.join(SHORTEST_VOL_SPAN)}")
    if span < SHORTEST_VOL_SPAN[method]:
        raise ValueError(f"vol_method {method} needs a vol_span of {SHORTEST_VOL_SPAN[method]}, not {span}")
    if method == "ewm":
        return ewm_deviation(log_returns(bars.close), span)
    if method == "rolling":
        return rolling_deviation(log_returns(bars.close), span)
    ranges: Floats = talib.ATR(bars.high, bars.low, bars.close, span)
    return ranges / bars.close


def log_returns(close: Floats) -> Floats:
    """(n,) logarithmic return of each bar over the one before; NaN for the first."""
    returns = np.full(len(close), np.nan)
    returns[1:] = np.diff(np.log(close))
    return returns


def rolling_deviation(returns: Floats, window: int) -> Floats:
    """(n,) sample standard deviation of the last `window` returns; NaN for the first `window` bars."""
    deviation = np.full(len(returns), np.nan)
    deviation[window:] = _deviation(returns[1:], window)
    return deviation


def coming_deviation(returns: Floats, window: int) -> Floats:
    """(n,) sample standard deviation of the next `window` returns; NaN for the last `window` bars."""
    deviation = np.full(len(returns), np.nan)
    known = max(0, len(returns) - window)
    deviation[:known] = _deviation(returns[1:], window)
    return deviation


def ewm_deviation(returns: Floats, span: int) -> Floats:
    """(n,) exponentially weighted standard deviation of all returns so far; NaN for the first `span` bars.

    The return k bars ago has weight w = (1 - α)^k with α = 2 / (span + 1). The variance is multiplied by
    (Σw)² / ((Σw)² - Σw²), which makes it unbiased: the estimate of López de Prado (2018, snippet 3.1).
    """
    decay = 1.0 - 2.0 / (span + 1.0)
    deviation = np.full(len(returns), np.nan)
    known = returns[1:]
    count = np.arange(1.0, len(known) + 1.0)
    left = decay**count
    weight = (1.0 - left) / (1.0 - decay)
    squared_weight = (1.0 - left * left) / (1.0 - decay * decay)
    mean = _decayed_sums(known, decay) / weight
    square = _decayed_sums(known * known, decay) / weight
    variance = _without_rounding(square - mean * mean, square)
    warm = slice(span - 1, None)
    unbiased = 1.0 / (1.0 - squared_weight[warm] / weight[warm] ** 2)
    deviation[span:] = np.sqrt(variance[warm] * unbiased)
    return deviation


def window_sums(values: Floats, window: int) -> Floats:
    """(n - window + 1,) the sum of values[i : i + window] for each i; empty when there are fewer.

    In time that does not depend on the window: a window is the end of one block of `window` values and
    the start of the next (van Herk 1992), and adds nothing that it must take away again.
    """
    count = len(values) - window + 1
    if count <= 0:
        return np.empty(0)
    if window == 1:
        return values.copy()
    blocks = np.zeros((math.ceil(len(values) / window) + 1, window))
    blocks.reshape(-1)[: len(values)] = values
    ends = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1)
    starts = np.cumsum(blocks, axis=1)
    starts = np.hstack([np.zeros((len(blocks), 1)), starts[:, :-1]]).reshape(-1)
    return ends[:count] + starts[window : window + count]


def _deviation(returns: Floats, window: int) -> Floats:
    if window == 1:
        return np.zeros(len(returns))
    mean = window_sums(returns, window) / window
    square = window_sums(returns * returns, window) / window
    return np.sqrt(_without_rounding(square - mean * mean, square) * (window / (window - 1)))


def _without_rounding(variance: Floats, square: Floats) -> Floats:
    return np.where(variance > ROUNDING * square, variance, 0.0)


def _decayed_sums(values: Floats, decay: float) -> Floats:
    """(n,) Σ decay^k · values[t - k] over all k ≤ t, by doubling: 2, 4, 8, … terms after each pass."""
    sums = values.copy()
    reach = 1
    while reach < len(sums) and decay**reach > 0.0:
        sums[reach:] += decay**reach * sums[:-reach]
        reach *= 2
    return sums
