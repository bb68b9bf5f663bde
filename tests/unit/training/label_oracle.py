"""Every label a second time, bar by bar in plain Python, sharing no code with the first."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.domain.grammar.parts import Labels

Prices = Sequence[float]


def settings(**keys: Any) -> Labels:
    """`training.labels` as a strategy file has it."""
    return Labels.model_validate(keys)


def walk(seed: int, n: int, *, tick: float | None = None, deviation: float = 0.01) -> Bars:
    """A random walk with gaps; whole ticks make prices that stand still and levels that are met exactly."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, deviation, n)))
    if tick is not None:
        close = np.maximum(np.round(close / tick) * tick, tick)
    high, low = close * (1.0 + rng.uniform(0.0, 0.01, n)), close * (1.0 - rng.uniform(0.0, 0.01, n))
    return Bars(np.arange(n) * 86_400, (high + low) / 2.0, high, low, close, np.ones(n))


def forward_return(bars: Bars, horizon: int) -> list[float | None]:
    close = bars.close.tolist()
    return [
        close[t + horizon] / close[t] - 1.0 if t + horizon < len(close) else None for t in range(len(close))
    ]


def touched(close: Prices, t: int, upper: float, lower: float, steps: int) -> int:
    for price in close[t + 1 : t + steps + 1]:
        if price >= upper:
            return 2
        if price <= lower:
            return 0
    return 1


def zigzag(bars: Bars, threshold: float, lookahead: int) -> list[int | None]:
    close = bars.close.tolist()
    return [
        touched(close, t, close[t] * (1.0 + threshold), close[t] * (1.0 - threshold), lookahead)
        if t + lookahead < len(close)
        else None
        for t in range(len(close))
    ]


def ewm(bars: Bars, t: int, span: int) -> float:
    close = bars.close.tolist()
    returns = [math.log(close[i] / close[i - 1]) for i in range(t, 0, -1)]
    weights = [(1.0 - 2.0 / (span + 1)) ** k for k in range(len(returns))]
    total = math.fsum(weights)
    mean = math.fsum(w * r for w, r in zip(weights, returns, strict=True)) / total
    square = math.fsum(w * (r - mean) ** 2 for w, r in zip(weights, returns, strict=True)) / total
    return math.sqrt(square * total**2 / (total**2 - math.fsum(w * w for w in weights)))


def rolling(bars: Bars, t: int, span: int) -> float:
    close = bars.close.tolist()
    return statistics.stdev(math.log(close[i] / close[i - 1]) for i in range(t - span + 1, t + 1))


def atr(bars: Bars, t: int, span: int) -> float:
    high, low, close = bars.high.tolist(), bars.low.tolist(), bars.close.tolist()
    ranges = [
        max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
        for i in range(1, t + 1)
    ]
    average: float = math.fsum(ranges[:span]) / span
    for one in ranges[span:]:
        average = (average * (span - 1) + one) / span
    return average / float(close[t])


VOLATILITY: dict[str, Callable[[Bars, int, int], float]] = {"ewm": ewm, "rolling": rolling, "atr": atr}


def triple_barrier(
    bars: Bars, profit: float, stop: float, holding: int, span: int, method: str
) -> list[int | None]:
    close, found = bars.close.tolist(), list[int | None]()
    for t in range(len(close)):
        if t < span or t + holding >= len(close):
            found.append(None)
            continue
        deviation = VOLATILITY[method](bars, t, span)
        upper, lower = close[t] * (1.0 + profit * deviation), close[t] * (1.0 - stop * deviation)
        upper, lower = upper if upper > close[t] else math.inf, lower if lower < close[t] else -math.inf
        found.append(touched(close, t, upper, lower, holding))
    return found


def regime(bars: Bars, horizon: int) -> list[int | None]:
    close, found = bars.close.tolist(), list[int | None]()
    for t in range(len(close)):
        if t < 100 or t + horizon >= len(close):
            found.append(None)
            continue
        ahead = close[t : t + horizon + 1]
        returns = [math.log(b / a) for a, b in itertools.pairwise(ahead)]
        coming = statistics.stdev(returns) if horizon > 1 else 0.0
        way = math.fsum(abs(b - a) for a, b in itertools.pairwise(ahead))
        moved = ahead[-1] - ahead[0]
        if coming > 1.5 * rolling(bars, t, 100):
            found.append(3)
        elif abs(moved) > 0.5 * way:
            found.append(0 if moved > 0.0 else 1)
        else:
            found.append(2)
    return found


def context(bars: Bars, horizon: int) -> list[int | None]:
    close, found = bars.close.tolist(), list[int | None]()
    for t in range(len(close)):
        if t < 100 or t + horizon >= len(close):
            found.append(None)
            continue
        unit = rolling(bars, t, 100) * math.sqrt(horizon)
        moved = math.log(close[t + horizon] / close[t]) / unit if unit > 0.0 else 0.0
        found.append(0 if moved < -0.5 else 2 if moved >= 0.5 else 1)
    return found
