"""The deepest and the longest time that an account lay below its peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ktrdr.backtesting.curves import Times, iso_texts
from ktrdr.backtesting.curves import drawdown as below_peak
from ktrdr.backtesting.prices import Floats

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Drawdown:
    """One time below a peak, as positions in the series of worths.

    `start` is the last bar at the peak, `trough` the lowest, `recovery` the first at or above the peak
    again: None when the series ends below it.
    """

    depth: float
    start: int
    trough: int
    recovery: int | None
    end: int  # the recovery, or the last position there is


def deepest(worth: Floats) -> Drawdown | None:
    """The maximum drawdown of a series (m,) of worths, the earliest of equals; None when it never falls."""
    depths = below_peak(worth)
    trough = int(np.argmax(depths))
    depth = float(depths[trough])
    if not depth > 0.0:
        return None
    peak = float(np.max(worth[: trough + 1]))
    start = int(np.flatnonzero(worth[: trough + 1] == peak)[-1])
    above = np.flatnonzero(worth[trough:] >= peak)
    recovery = trough + int(above[0]) if len(above) else None
    return Drawdown(depth, start, trough, recovery, len(worth) - 1 if recovery is None else recovery)


def longest(worth: Floats) -> tuple[int, int] | None:
    """The first and the last position of the longest time below a peak; None when it never falls."""
    below = below_peak(worth) > 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], below, [False]]).astype(np.int8)))
    if len(edges) == 0:
        return None
    # A stretch below begins one position after its peak and ends at the recovery, or with the series.
    starts, ends = edges[::2] - 1, np.minimum(edges[1::2], len(worth) - 1)
    at = int(np.argmax(ends - starts))
    return int(starts[at]), int(ends[at])


def drawdown_metrics(equity: Floats, capital: float, time: Times) -> dict[str, float | int | str | None]:
    """Size (a fraction of the peak), bars, days and dates of the deepest drawdown; length of the longest.

    `equity` and `time` are (m,): the worth at each close, and when each bar opens (seconds UTC). The
    capital comes before the first of them: what is lost at once was lost from it. A drawdown lasts from
    its peak to its recovery, or to the end where there is none. Size 0 and no dates when the account
    never falls.
    """
    worth = np.concatenate([[capital], equity])
    when = np.concatenate([time[:1], time])
    found, stretch = deepest(worth), longest(worth)

    def days(start: int, end: int) -> float:
        return float(when[end] - when[start]) / DAY_SECONDS

    def date(position: int | None) -> str | None:
        return None if position is None else iso_texts(when[[position]])[0]

    return {
        "max_drawdown": found.depth if found else 0.0,
        "max_drawdown_bars": found.end - found.start if found else None,
        "max_drawdown_days": days(found.start, found.end) if found else None,
        "max_drawdown_start": date(found.start) if found else None,
        "max_drawdown_trough": date(found.trough) if found else None,
        "max_drawdown_recovery": date(found.recovery) if found else None,
        "longest_drawdown_bars": stretch[1] - stretch[0] if stretch else None,
        "longest_drawdown_days": days(*stretch) if stretch else None,
    }
