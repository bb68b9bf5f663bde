"""Trends, channels and volumes again, in plain Python from their authors' formulas."""

from __future__ import annotations

import math

from tests.unit.data.indicators.averages import (
    Line,
    combined,
    delayed,
    exponential,
    mean,
    over,
    ratio,
    true_ranges,
    wilder,
)
from tests.unit.data.indicators.oscillators import Columns, Number, typical


def sma(bars: Columns, period: Number) -> tuple[Line, ...]:
    return (over(bars["close"], period, mean),)


def ema(bars: Columns, period: Number) -> tuple[Line, ...]:
    return (exponential(bars["close"], period),)


def atr(bars: Columns, period: Number) -> tuple[Line, ...]:
    return (wilder(true_ranges(bars["high"], bars["low"], bars["close"]), period, period),)


def bollinger(bars: Columns, period: Number, multiplier: Number) -> tuple[Line, ...]:
    """The deviation of the population: divided by `period`, not by one less."""
    middle = over(bars["close"], period, mean)
    deviation = over(bars["close"], period, deviation_of)
    return (
        combined(lambda a, b: a + multiplier * b, middle, deviation),
        middle,
        combined(lambda a, b: a - multiplier * b, middle, deviation),
    )


def deviation_of(window: list[float]) -> float:
    middle = mean(window)
    return math.sqrt(mean([(one - middle) ** 2 for one in window]))


def bollingerbandwidth(bars: Columns, period: Number, multiplier: Number) -> tuple[Line, ...]:
    upper, middle, lower = bollinger(bars, period, multiplier)
    return (combined(lambda a, b, c: (a - c) / b, upper, middle, lower),)


def donchian(bars: Columns, period: Number) -> tuple[Line, ...]:
    upper, lower = over(bars["high"], period, max), over(bars["low"], period, min)
    return upper, combined(lambda a, b: (a + b) / 2.0, upper, lower), lower


def keltner(bars: Columns, period: Number, atr_period: Number, multiplier: Number) -> tuple[Line, ...]:
    """Both averages begin where the later of the two can."""
    first = max(period - 1, atr_period)
    middle = exponential(typical(bars), period, first)
    half = wilder(true_ranges(bars["high"], bars["low"], bars["close"]), atr_period, first)
    return (
        combined(lambda a, b: a + multiplier * b, middle, half),
        middle,
        combined(lambda a, b: a - multiplier * b, middle, half),
    )


def squeezeintensity(bars: Columns, period: Number) -> tuple[Line, ...]:
    """The smaller gap between band and channel over the channel's width, not below nothing."""
    upper, _, lower = bollinger(bars, period, 2.0)
    ceiling, _, floor = keltner(bars, period, 10, 2.0)
    return (
        combined(
            lambda up, low, top, bottom: max(min(top - up, low - bottom) / (top - bottom), 0.0),
            upper,
            lower,
            ceiling,
            floor,
        ),
    )


def supertrend(bars: Columns, period: Number, multiplier: Number) -> tuple[Line, ...]:
    """A band is carried on unless the new one is nearer or the last close was beyond the old one."""
    high, low, close = bars["high"], bars["low"], bars["close"]
    (ranges,) = atr(bars, period)
    line: Line = [None] * len(close)
    direction: Line = [None] * len(close)
    upper, lower, side = math.inf, -math.inf, 1.0
    for t in range(period, len(close)):
        reach = ranges[t]
        assert reach is not None
        above = (high[t] + low[t]) / 2.0 + multiplier * reach
        below = (high[t] + low[t]) / 2.0 - multiplier * reach
        upper = above if above < upper or close[t - 1] > upper else upper
        lower = below if below > lower or close[t - 1] < lower else lower
        if (side > 0.0 and close[t] < lower) or (side < 0.0 and close[t] > upper):
            side = -side
        line[t], direction[t] = (lower if side > 0.0 else upper), side
    return line, direction


def parabolicsar(bars: Columns, step: Number, maximum: Number) -> tuple[Line, ...]:
    """Wilder: tomorrow's stop is today's plus a share of the way to the extreme of the trade.

    The trade begins long unless the second bar reaches down further than up; the stop is then the
    first bar's opposite extreme. It never lies within the last two bars.
    """
    high, low = bars["high"], bars["low"]
    down, up = low[0] - low[1], high[1] - high[0]
    long = not (down > 0.0 and down > up)
    stop, extreme = (low[0], high[1]) if long else (high[0], low[1])
    share = min(step, maximum)
    line: Line = [None] * len(high)
    for t in range(1, len(high)):
        before = max(t - 1, 1)
        hit = low[t] <= stop if long else high[t] >= stop
        if hit:
            long, stop, share = not long, extreme, min(step, maximum)
            edges = (low[before], low[t]) if long else (high[before], high[t])
            stop = min(stop, *edges) if long else max(stop, *edges)
            extreme = high[t] if long else low[t]
        line[t] = stop
        if not hit and (high[t] > extreme if long else low[t] < extreme):
            extreme = high[t] if long else low[t]
            share = min(share + step, maximum)
        stop += share * (extreme - stop)
        edges = (low[before], low[t]) if long else (high[before], high[t])
        stop = min(stop, *edges) if long else max(stop, *edges)
    return (line,)


def ichimoku(
    bars: Columns, tenkan_period: Number, kijun_period: Number, senkou_period: Number, displacement: Number
) -> tuple[Line, ...]:
    tenkan, kijun, slow = (
        donchian(bars, period)[1] for period in (tenkan_period, kijun_period, senkou_period)
    )
    leading = combined(lambda a, b: (a + b) / 2.0, tenkan, kijun)
    return tenkan, kijun, delayed(leading, displacement), delayed(slow, displacement)


def obv(bars: Columns) -> tuple[Line, ...]:
    close, volume = bars["close"], bars["volume"]
    total = volume[0]
    line: Line = [total]
    for t in range(1, len(close)):
        total += volume[t] if close[t] > close[t - 1] else -volume[t] if close[t] < close[t - 1] else 0.0
        line.append(total)
    return (line,)


def flows(bars: Columns) -> list[float]:
    """Volume times ((close - low) - (high - close)) / (high - low); nothing for a bar without a range."""
    return [
        volume * ratio((close - low) - (high - close), high - low, 0.0)
        for high, low, close, volume in zip(
            bars["high"], bars["low"], bars["close"], bars["volume"], strict=True
        )
    ]


def adline(bars: Columns) -> tuple[Line, ...]:
    total = 0.0
    line: Line = []
    for one in flows(bars):
        total += one
        line.append(total)
    return (line,)


def cmf(bars: Columns, period: Number) -> tuple[Line, ...]:
    moved, traded = over(flows(bars), period, math.fsum), over(bars["volume"], period, math.fsum)
    return (combined(lambda a, b: ratio(a, b, 0.0), moved, traded),)


def mfi(bars: Columns, period: Number) -> tuple[Line, ...]:
    """Money that flowed on bars whose typical price rose, over all that flowed on moving ones."""
    price, volume = typical(bars), bars["volume"]
    changes = range(1, len(price))
    gained: Line = [None] + [price[t] * volume[t] if price[t] > price[t - 1] else 0.0 for t in changes]
    lost: Line = [None] + [price[t] * volume[t] if price[t] < price[t - 1] else 0.0 for t in changes]
    up, down = over(gained, period, math.fsum), over(lost, period, math.fsum)
    return (combined(lambda a, b: 100.0 * ratio(a, a + b, 0.0), up, down),)


def vwap(bars: Columns, period: Number) -> tuple[Line, ...]:
    price = typical(bars)
    money = [one * traded for one, traded in zip(price, bars["volume"], strict=True)]
    average = over(price, period, mean)
    traded = over(bars["volume"], period, math.fsum)
    return (combined(lambda a, b, c: ratio(a, b, c), over(money, period, math.fsum), traded, average),)


def volumeratio(bars: Columns, period: Number) -> tuple[Line, ...]:
    average = over(bars["volume"], period, mean)
    return (combined(lambda one, its: ratio(one, its, 1.0), bars["volume"], average),)
