"""What a person should know of a series before a strategy learns from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import COLUMNS, DAY, Bars
from ktrdr.domain.market import TIMEFRAME_SECONDS

SHOWN = 3
LONGEST = 5
WEEK = 7 * DAY
# A closing that comes at the same time of day for the same time, about every third week or more often,
# is the market's own: nights, weekends, each half of the year by its own clock.
RECURRING_A_WEEK = 0.3
CARRIED_OVER = 0.9
SILENT = 0.01


def check(bars: Bars, timeframe: str) -> dict[str, Any]:
    """Counts, gaps and warnings, as plain JSON. Nothing here is a failure; it is for a person to judge."""
    steps = np.diff(bars.time)
    carried = float((bars.open[1:] == bars.close[:-1]).mean()) if len(bars) > 1 else 0.0
    silent = float((bars.volume == 0.0).mean()) if len(bars) else 0.0
    found: dict[str, Any] = {
        "bars": len(bars),
        "first": [_row(bars, at) for at in range(min(SHOWN, len(bars)))],
        "last": [_row(bars, at) for at in range(max(0, len(bars) - SHOWN), len(bars))],
        "duplicates": int((steps == 0).sum()),
        "non_monotonic": int((steps < 0).sum()),
        "high_below_low": int((bars.high < bars.low).sum()),
        "open_is_previous_close": round(carried, 4),
        "zero_volume": round(silent, 4),
        "gaps": _gaps(bars.time, TIMEFRAME_SECONDS[timeframe]),
    }
    return {**found, "warnings": _warnings(found)}


def _warnings(found: Mapping[str, Any]) -> list[str]:
    said = [
        f"{found[name]} bars: {what}"
        for name, what in (
            ("duplicates", "the same time twice"),
            ("non_monotonic", "a time before the bar above"),
            ("high_below_low", "high below low"),
        )
        if found[name]
    ]
    if found["open_is_previous_close"] > CARRIED_OVER:
        said.append(
            f"open equals the previous close in {found['open_is_previous_close']:.1%} of the bars: an order "
            "filled at the next open is filled at the close it was decided on, and backtests are too good"
        )
    if found["zero_volume"] > SILENT:
        said.append(
            f"volume is zero in {found['zero_volume']:.1%} of the bars: indicators of volume say little"
        )
    return said


def _gaps(time: NDArray[np.int64], length: int) -> dict[str, Any]:
    """Bars missing on the timeframe's grid, apart from closings that recur (nights, weekends)."""
    steps = np.diff(time)
    at = np.flatnonzero(steps > length)
    weeks = (int(time[-1]) - int(time[0])) / WEEK if len(time) else 0.0
    kinds = np.column_stack([steps[at], (time[at] + length) % DAY])
    _, which, counts = np.unique(kinds, axis=0, return_inverse=True, return_counts=True)
    often = counts[which.reshape(-1)] >= max(3.0, RECURRING_A_WEEK * weeks)
    closings, holes = at[often], at[~often]
    lengths, number = np.unique(steps[closings], return_counts=True)
    longest = holes[np.argsort(-steps[holes], kind="stable")][:LONGEST]
    return {
        "count": len(holes),
        "missing_bars": int((steps[holes] // length - 1).sum()),
        "longest": [
            {
                "after": iso(int(time[one])),
                "before": iso(int(time[one + 1])),
                "missing_bars": int(steps[one] // length - 1),
            }
            for one in longest.tolist()
        ],
        "recurring": [
            {"seconds": int(one - length), "count": int(count)}
            for one, count in zip(lengths, number, strict=True)
        ],
    }


def _row(bars: Bars, at: int) -> dict[str, Any]:
    values = {name: float(getattr(bars, name)[at]) for name in COLUMNS[1:]}
    return {"time": iso(int(bars.time[at])), **values}


def iso(seconds: int) -> str:
    """A bar's time for people and JSON: 2024-01-02T09:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
