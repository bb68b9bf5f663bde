"""As many points as a chart can show, chosen so that it shows the same story."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.curves import Times
from ktrdr.backtesting.prices import Floats

POINTS = 5000

Indices = NDArray[np.int64]


def kept_points(drawdown: Floats, limit: int = POINTS) -> Indices:
    """Which of (m,) points stay, rising, at most `limit`: the first, and of each of equal stretches the
    deepest drawdown and the last.

    So the maximum drawdown is exact at every resolution, and so is the deepest up to any point that
    stays. Raises ValueError on a limit below 3.
    """
    if limit < 3:
        raise ValueError(f"a curve needs at least 3 points, not {limit}")
    count = len(drawdown)
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    edges = np.linspace(1, count, (limit - 1) // 2 + 1).astype(np.int64)
    deepest = [low + int(np.argmax(drawdown[low:high])) for low, high in pairwise(edges)]
    return np.unique(np.concatenate([[0], deepest, edges[1:] - 1])).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Chart:
    """Candles of one symbol, (k,) each; `time` is when the first bar of a candle opens, seconds UTC."""

    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats


def aggregated(candles: Chart, limit: int = POINTS) -> Chart:
    """At most `limit` candles, each of equally many bars (the last of what is left): first open, highest
    high, lowest low, last close."""
    count = len(candles.time)
    size = max(1, -(-count // limit))
    if size == 1:
        return candles
    starts = np.arange(0, count, size)
    return Chart(
        time=candles.time[starts],
        open=candles.open[starts],
        high=np.maximum.reduceat(candles.high, starts),
        low=np.minimum.reduceat(candles.low, starts),
        close=candles.close[np.minimum(starts + size, count) - 1],
    )
