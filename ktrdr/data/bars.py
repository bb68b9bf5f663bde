"""Bars in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ktrdr.domain.market import TIMEFRAME_SECONDS, TRADING_DAYS, DatasetSpec, midnight

Floats = NDArray[np.float64]
DAY = TIMEFRAME_SECONDS["1d"]
YEAR = 365.25 * DAY
COLUMNS = ("time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars of one timeframe, oldest first; each array has shape (n,).

    `time` is when a bar opens, in seconds since 1970-01-01 UTC; a daily bar opens at midnight UTC of
    its day. A bar is known at its close, one timeframe after it opened.
    """

    time: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.close)

    @property
    def per_year(self) -> float:
        """Bars a year, a whole number, as their times say: about 252 of a stock, 8766 hours of a currency
        that never closes. Of less than two bars it is that of trading days."""
        seconds = int(self.time[-1] - self.time[0]) if len(self) > 1 else 0
        return float(max(1, round((len(self) - 1) * YEAR / seconds))) if seconds else float(TRADING_DAYS)

    def until(self, end: int) -> Bars:
        """The first `end` bars, in memory of their own."""
        return Bars(
            self.time[:end].copy(),
            self.open[:end].copy(),
            self.high[:end].copy(),
            self.low[:end].copy(),
            self.close[:end].copy(),
            self.volume[:end].copy(),
        )


def development_bars(bars: Bars, spec: DatasetSpec, timeframe: str | None = None) -> int:
    """How many of the bars have closed when development ends. A bar that ends later has seen the holdout.

    `timeframe` is that of the bars, where they were made from those of the data set.
    """
    seconds = TIMEFRAME_SECONDS[timeframe or spec.timeframe]
    return closed_by(bars, seconds, midnight(spec.development_end) + DAY)


def closed_by(bars: Bars, seconds: int, moment: int) -> int:
    """How many of the bars, each `seconds` long, have closed at a moment (seconds since 1970-01-01 UTC)."""
    return int(np.searchsorted(bars.time, moment - seconds, side="right"))
