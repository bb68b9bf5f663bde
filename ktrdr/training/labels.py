"""What a network is to predict: a class for each bar, from the bars after it.

Labels look ahead by nature. `reach` says how far, so that whoever splits the bars drops that many at
the end of a training segment, and edges that depend on data are fitted on training rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.labels import CLASSES, LabelSettings
from ktrdr.training.volatility import (
    coming_deviation,
    log_returns,
    rolling_deviation,
    volatility,
    window_sums,
)

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
T = TypeVar("T")

TRAILING = 100  # bars of the volatility that a coming one is compared with
VOLATILE = 1.5  # times the trailing volatility
TRENDING = 0.5  # of Kaufman's efficiency ratio, which is 1 when every bar goes the same way
CONTEXT = 0.5  # standard deviations
UP_OR_DOWN = ("down", "flat", "up")
THIRDS = (-0.5, 0.5)  # between the scores -1, 0 and 1


@dataclass(frozen=True, eq=False)
class Labelling:
    """A number for each bar, how it becomes a class, and what each class means."""

    score: Floats  # (n,) NaN while volatility warms up, and for the last `reach` bars
    reach: int  # bars after its own that a label looks at, at most
    edges: tuple[float, ...] | None  # from score to class; None: `fit_edges` of the training rows
    classes: tuple[str, ...]
    directions: tuple[int, ...]  # of each class: the position -1, 0 or 1 that it speaks for


def label(bars: Bars, labels: LabelSettings, num_classes: int) -> Labelling:
    """The labels of all bars. Raises ValueError when the source cannot have so many classes, and
    StepFailed when a close is not a number above zero."""
    allowed = CLASSES.get(labels.source)
    if allowed is None:
        raise ValueError(f"unknown label source '{labels.source}'; allowed: {', '.join(CLASSES)}")
    if num_classes not in allowed:
        few = ", ".join(str(one) for one in allowed)
        raise ValueError(f"{labels.source} labels have {few} classes, not {num_classes}")
    return _SOURCES[labels.source](bars, labels, num_classes)


def forward_returns(bars: Bars, horizon: int) -> Floats:
    """(n,) close[t + horizon] / close[t] - 1; NaN for the last `horizon` bars."""
    close = _prices(bars)
    forward = np.full(len(close), np.nan)
    known = max(0, len(close) - horizon)
    forward[:known] = close[horizon:] / close[:known] - 1.0
    return forward


def fit_edges(score_rows: Floats, num_classes: int) -> tuple[float, ...]:
    """The num_classes - 1 quantiles that cut the training rows into classes of equal size.

    Where several rows lie on an edge they belong to the class nearer the middle: if a third of the bars
    do not move at all, these are flat, and neither up nor down. Raises ValueError for no rows, or for a
    row that is not known.
    """
    if not len(score_rows) or np.isnan(score_rows).any():
        raise ValueError("edges are fitted on rows whose score is known, and on at least one")
    shares = np.arange(1, num_classes) / num_classes
    quantiles = np.quantile(score_rows, shares)
    tied = np.array([np.count_nonzero(score_rows == one) > 1 for one in quantiles])
    inward = np.where(tied & (shares > 0.5), np.nextafter(quantiles, np.inf), quantiles)
    return tuple(float(edge) for edge in inward)


def classify(score: Floats, edges: tuple[float, ...]) -> Classes:
    """(m,) class 0 below the first edge, 1 from it to the second, and so on.

    Raises ValueError for a score that is not known: it would pass for the highest class.
    """
    if np.isnan(score).any():
        raise ValueError("a row whose label is not known has no class; purge it")
    return np.digitize(score, edges).astype(np.int64)


def _forward_return(bars: Bars, labels: LabelSettings, num_classes: int) -> Labelling:
    horizon = _needed(labels.horizon, "horizon")
    named = {2: ("down", "up"), 3: UP_OR_DOWN}
    classes = named.get(num_classes, tuple(f"class_{one}" for one in range(num_classes)))
    directions = tuple(int(np.sign(2 * one - num_classes + 1)) for one in range(num_classes))
    return Labelling(forward_returns(bars, horizon), horizon, None, classes, directions)


def _zigzag(bars: Bars, labels: LabelSettings, _: int) -> Labelling:
    """Which comes first within the lookahead: a rise by the threshold, a fall by it, or neither."""
    threshold = _needed(labels.zigzag_threshold, "zigzag_threshold")
    reach = _needed(labels.label_lookahead, "label_lookahead")
    close = _prices(bars)
    score = _first_touch(close, close * (1.0 + threshold), close * (1.0 - threshold), reach)
    return Labelling(score, reach, THIRDS, UP_OR_DOWN, (-1, 0, 1))


def _triple_barrier(bars: Bars, labels: LabelSettings, _: int) -> Labelling:
    """Which of profit, stop and timeout comes first (López de Prado 2018, chapter 3), by closes."""
    reach = _needed(labels.max_holding_period, "max_holding_period")
    close = _prices(bars)
    method = _needed(labels.vol_method, "vol_method")
    deviation = volatility(bars, method, _needed(labels.vol_span, "vol_span"))
    profit = close * (1.0 + _needed(labels.pt_multiplier, "pt_multiplier") * deviation)
    stop = close * (1.0 - _needed(labels.sl_multiplier, "sl_multiplier") * deviation)
    # Without volatility a barrier would lie on the price, and a price that stands still would touch it.
    profit = np.where(profit > close, profit, np.inf)
    stop = np.where(stop < close, stop, -np.inf)
    score = _first_touch(close, profit, stop, reach)
    score[np.isnan(deviation)] = np.nan
    return Labelling(score, reach, THIRDS, UP_OR_DOWN, (-1, 0, 1))


def _regime(bars: Bars, labels: LabelSettings, _: int) -> Labelling:
    """What the next bars are like: volatile, else trending by Kaufman's efficiency ratio, else ranging."""
    horizon = _horizon(labels)
    close = _prices(bars)
    returns = log_returns(close)
    trailing = rolling_deviation(returns, TRAILING)
    score = np.full(len(close), np.nan)
    known = max(0, len(close) - horizon)
    moved = close[horizon:] - close[:known]
    way = window_sums(np.abs(np.diff(close)), horizon)
    score[:known] = 2.0
    trending = np.abs(moved) > TRENDING * way
    score[:known][trending] = np.where(moved[trending] > 0.0, 0.0, 1.0)
    score[coming_deviation(returns, horizon) > VOLATILE * trailing] = 3.0
    score[np.isnan(trailing)] = np.nan
    classes = ("trending_up", "trending_down", "ranging", "volatile")
    return Labelling(score, horizon, (0.5, 1.5, 2.5), classes, (1, -1, 0, 0))


def _context(bars: Bars, labels: LabelSettings, _: int) -> Labelling:
    """Where the price stands at the horizon, in standard deviations that a random walk would have."""
    horizon = _horizon(labels)
    close = _prices(bars)
    score = rolling_deviation(log_returns(close), TRAILING) * np.sqrt(horizon)
    known = max(0, len(close) - horizon)
    score[known:] = np.nan
    moved = np.log(close[horizon:] / close[:known])
    np.divide(moved, score[:known], out=score[:known], where=score[:known] > 0.0)
    return Labelling(score, horizon, (-CONTEXT, CONTEXT), ("bearish", "neutral", "bullish"), (-1, 0, 1))


_SOURCES: Mapping[str, Callable[[Bars, LabelSettings, int], Labelling]] = {
    "forward_return": _forward_return,
    "zigzag": _zigzag,
    "triple_barrier": _triple_barrier,
    "regime": _regime,
    "context": _context,
}


def _first_touch(close: Floats, upper: Floats, lower: Floats, steps: int) -> Floats:
    """(n,) which of two levels the next `steps` closes reach first: 1 the upper, -1 the lower, 0 none.

    NaN for the last `steps` bars, those too that have touched already: near the end only moves would
    be known, and no rest.
    """
    score = np.full(len(close), np.nan)
    open_rows = np.arange(max(0, len(close) - steps))
    score[open_rows] = 0.0
    for step in range(1, steps + 1):
        later = close[open_rows + step]
        up, down = later >= upper[open_rows], later <= lower[open_rows]
        score[open_rows[up]] = 1.0
        score[open_rows[down]] = -1.0
        open_rows = open_rows[~(up | down)]
        if not len(open_rows):
            break
    return score


def _prices(bars: Bars) -> Floats:
    wrong = np.flatnonzero(~(np.isfinite(bars.close) & (bars.close > 0.0)))
    if len(wrong):
        raise StepFailed(
            "PRICE_NOT_POSITIVE",
            f"The close of bar {int(wrong[0])} is {bars.close[wrong[0]]}; labels need numbers above zero. "
            "Check the data, or choose dates without such bars.",
        )
    return bars.close


def _horizon(labels: LabelSettings) -> int:
    return _needed(labels.horizon if labels.horizon is not None else labels.label_lookahead, "horizon")


def _needed(value: T | None, name: str) -> T:
    if value is None:
        raise ValueError(f"these labels need {name}")
    return value
