"""The oscillators again, in plain Python from their authors' formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tests.unit.data.indicators.averages import (
    Line,
    Values,
    combined,
    delayed,
    exponential,
    mean,
    over,
    ratio,
    true_ranges,
)

Columns = Mapping[str, Values]
Number = Any  # a parameter, whole or not


def rsi(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Wilder: average gain over average gain and loss; the first averages are means of `period` changes."""
    close = bars["close"]
    line: Line = [None] * len(close)
    changes = [close[t] - close[t - 1] for t in range(1, len(close))]
    up = sum(max(one, 0.0) for one in changes[:period]) / period
    down = sum(max(-one, 0.0) for one in changes[:period]) / period
    for t in range(period, len(close)):
        if t > period:
            up = (up * (period - 1) + max(changes[t - 1], 0.0)) / period
            down = (down * (period - 1) + max(-changes[t - 1], 0.0)) / period
        line[t] = 100.0 * ratio(up, up + down, 0.0)
    return (line,)


def roc(bars: Columns, period: Number) -> tuple[Line, ...]:
    close = bars["close"]
    return (combined(lambda now, then: 100.0 * (now / then - 1.0), close, delayed(close, period)),)


def momentum(bars: Columns, period: Number) -> tuple[Line, ...]:
    close = bars["close"]
    return (combined(lambda now, then: now - then, close, delayed(close, period)),)


def macd(bars: Columns, fast_period: Number, slow_period: Number, signal_period: Number) -> tuple[Line, ...]:
    """Both averages begin where the slow one can."""
    close = bars["close"]
    fast = exponential(close, fast_period, slow_period - 1)
    line = combined(lambda a, b: a - b, fast, exponential(close, slow_period))
    signal = exponential(line, signal_period)
    line = combined(lambda one, _: one, line, signal)
    return line, signal, combined(lambda a, b: a - b, line, signal)


def distancefromma(bars: Columns, period: Number) -> tuple[Line, ...]:
    average = over(bars["close"], period, mean)
    return (combined(lambda one, its: 100.0 * (one - its) / its, bars["close"], average),)


def cci(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Lambert: distance to the mean over 0.015 mean absolute deviations."""

    def index(window: list[float]) -> float:
        middle = mean(window)
        deviation = mean([abs(one - middle) for one in window])
        return ratio(window[-1] - middle, 0.015 * deviation, 0.0)

    return (over(typical(bars), period, index),)


def williamsr(bars: Columns, period: Number) -> tuple[Line, ...]:
    return (
        combined(
            lambda close, top, bottom: -100.0 * ratio(top - close, top - bottom, 0.0),
            bars["close"],
            over(bars["high"], period, max),
            over(bars["low"], period, min),
        ),
    )


def stochastic(bars: Columns, k_period: Number, d_period: Number, smooth_k: Number) -> tuple[Line, ...]:
    raw = combined(
        lambda close, top, bottom: 100.0 * ratio(close - bottom, top - bottom, 0.0),
        bars["close"],
        over(bars["high"], k_period, max),
        over(bars["low"], k_period, min),
    )
    k = over(raw, smooth_k, mean)
    d = over(k, d_period, mean)
    return combined(lambda one, _: one, k, d), d


def aroon(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Chande: how few of the last `period` bars have passed since the extreme, in per cent."""

    def since(window: list[float], extreme: float) -> float:
        age = next(age for age, one in enumerate(reversed(window)) if one == extreme)
        return float(100.0 * (period - age) / period)

    up = over(bars["high"], period + 1, lambda window: since(window, max(window)))
    down = over(bars["low"], period + 1, lambda window: since(window, min(window)))
    return up, down, combined(lambda a, b: a - b, up, down)


def adx(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Wilder: his sums start with period - 1 bars' movements, his average with `period` indices."""
    high, low = bars["high"], bars["low"]
    ranges = true_ranges(high, low, bars["close"])
    plus = minus = whole = 0.0
    indices: list[float] = []
    line: Line = [None] * len(high)
    average = 0.0
    for t in range(1, len(high)):
        up, down = high[t] - high[t - 1], low[t - 1] - low[t]
        reached = ranges[t]
        assert reached is not None
        kept = 1.0 if t < period else 1.0 - 1.0 / period
        plus = plus * kept + (up if up > down and up > 0.0 else 0.0)
        minus = minus * kept + (down if down > up and down > 0.0 else 0.0)
        whole = whole * kept + reached
        if t < period:
            continue
        positive, negative = ratio(plus, whole, 0.0), ratio(minus, whole, 0.0)
        indices.append(100.0 * ratio(abs(positive - negative), positive + negative, 0.0))
        if len(indices) == period:
            average = mean(indices)
        elif len(indices) > period:
            average = (average * (period - 1) + indices[-1]) / period
        if len(indices) >= period:
            line[t] = average
    return (line,)


def rvi(bars: Columns, period: Number) -> tuple[Line, ...]:
    gained = [close - opened for close, opened in zip(bars["close"], bars["open"], strict=True)]
    ranges = [high - low for high, low in zip(bars["high"], bars["low"], strict=True)]
    value = combined(
        lambda a, b: ratio(a, b, 0.0),
        over(over(gained, 4, symmetric), period, mean),
        over(over(ranges, 4, symmetric), period, mean),
    )
    return value, over(value, 4, symmetric)


def symmetric(window: list[float]) -> float:
    oldest, older, old, new = window
    return (oldest + 2.0 * older + 2.0 * old + new) / 6.0


def fishertransform(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Ehlers: Value1 = .33 * 2 * (place - .5) + .67 * Value1[1], Fish = .5 * log(…) + .5 * Fish[1]."""
    price = [(high + low) / 2.0 for high, low in zip(bars["high"], bars["low"], strict=True)]
    line: Line = [None] * len(price)
    value = fish = 0.0
    for t in range(period - 1, len(price)):
        window = price[t - period + 1 : t + 1]
        place = ratio(price[t] - min(window), max(window) - min(window), 0.5)
        value = 0.33 * 2.0 * (place - 0.5) + 0.67 * value
        if abs(value) > 0.99:
            value = math.copysign(0.999, value)
        fish = 0.5 * math.log((1.0 + value) / (1.0 - value)) + 0.5 * fish
        line[t] = fish
    return line, delayed(line, 1)


def typical(bars: Columns) -> list[float]:
    return [
        (high + low + close) / 3.0
        for high, low, close in zip(bars["high"], bars["low"], bars["close"], strict=True)
    ]
