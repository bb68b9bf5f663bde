"""Moving windows and averages in plain Python; None stands for a bar that is not warm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Values = Sequence[float]
Line = list[float | None]


def over(values: Sequence[float | None], period: int, function: Callable[[list[float]], float]) -> Line:
    """A function of the last `period` values, once none of them is None."""
    line: Line = []
    for t in range(len(values)):
        window = values[max(t - period + 1, 0) : t + 1]
        full = [one for one in window if one is not None]
        line.append(function(full) if len(full) == period else None)
    return line


def mean(window: list[float]) -> float:
    return sum(window) / len(window)


def exponential(values: Sequence[float | None], period: int, first: int | None = None) -> Line:
    """Weight 2 / (period + 1); starts from the mean of the `period` values that end at bar `first`."""
    if first is None:
        first = next(t for t, one in enumerate(values) if one is not None) + period - 1
    return recursive(values, period, first, 2.0 / (period + 1.0))


def wilder(values: Sequence[float | None], period: int, first: int) -> Line:
    """Weight 1 / period; starts from the mean of the `period` values that end at bar `first`."""
    return recursive(values, period, first, 1.0 / period)


def recursive(values: Sequence[float | None], period: int, first: int, weight: float) -> Line:
    line: Line = [None] * len(values)
    average = 0.0
    for t in range(first, len(values)):
        if t == first:
            average = mean([one for one in values[t - period + 1 : t + 1] if one is not None])
        else:
            value = values[t]
            assert value is not None
            average += weight * (value - average)
        line[t] = average
    return line


def combined(function: Callable[..., float], *lines: Sequence[float | None]) -> Line:
    """Bar by bar, None where any of the lines is None."""
    return [None if None in bar else function(*bar) for bar in zip(*lines, strict=True)]


def delayed(line: Sequence[float | None], bars: int) -> Line:
    return [line[t - bars] if t >= bars else None for t in range(len(line))]


def ratio(numerator: float, denominator: float, neutral: float) -> float:
    return neutral if denominator == 0.0 else numerator / denominator


def true_ranges(high: Values, low: Values, close: Values) -> Line:
    """None in the first bar, which has no close before it."""
    return [None] + [
        max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1]))
        for t in range(1, len(close))
    ]
