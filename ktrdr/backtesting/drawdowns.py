"""The deepest and the longest time that an account lay below its peak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from ktrdr.backtesting.curves import Times, iso_texts
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
    return _fallen(worth[0], worth[1:])[0]


def longest(worth: Floats) -> tuple[int, int] | None:
    """The first and the last position of the longest time below a peak; None when it never falls."""
    return _fallen(worth[0], worth[1:])[1]


def _fallen(capital: float, worth: Floats) -> tuple[Drawdown | None, tuple[int, int] | None]:
    """The deepest and the longest of a series that begins with `capital`, which has the position 0."""
    depth, start, trough, recovery, long_start, long_end = _scanned_compiled(capital, worth)
    last = len(worth)
    back = None if recovery < 0 else recovery
    found = Drawdown(depth, start, trough, back, last if back is None else back) if depth > 0.0 else None
    return found, (long_start, long_end) if long_end > long_start else None


def _scanned(capital: float, worth: Floats) -> tuple[float, int, int, int, int, int]:
    """In one pass: depth, start, trough and recovery (-1: none) of the deepest, start and end of the longest.

    A stretch below begins at the last position of its peak and ends at the recovery, or with the series.
    """
    peak, at_peak, last = capital, 0, len(worth)
    depth, start, trough, recovery = 0.0, 0, 0, -1
    long_start, long_end = 0, 0
    for at in range(1, last + 1):
        value = worth[at - 1]
        if value >= peak or at == last:
            if at - at_peak > long_end - long_start and (value < peak or at - at_peak > 1):
                long_start, long_end = at_peak, at
            if value >= peak:
                if recovery < 0 and depth > 0.0:
                    recovery = at
                peak, at_peak = value, at
        below = 1.0 - value / peak
        if below > depth:
            depth, start, trough, recovery = below, at_peak, at, -1
    return depth, start, trough, recovery, long_start, long_end


_scanned_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(_scanned)


def drawdown_metrics(equity: Floats, capital: float, time: Times) -> dict[str, float | int | str | None]:
    """Size (a fraction of the peak), bars, days and dates of the deepest drawdown; length of the longest.

    `equity` and `time` are (m,): the worth at each close, and when each bar opens (seconds UTC). The
    capital comes before the first of them: what is lost at once was lost from it. A drawdown lasts from
    its peak to its recovery, or to the end where there is none. Size 0 and no dates when the account
    never falls.
    """
    found, stretch = _fallen(capital, equity)

    def when(position: int) -> int:
        return int(time[max(0, position - 1)])

    def days(start: int, end: int) -> float:
        return float(when(end) - when(start)) / DAY_SECONDS

    def date(position: int | None) -> str | None:
        return None if position is None else iso_texts(np.array([when(position)]))[0]

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
