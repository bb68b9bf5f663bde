"""Bars in memory. What develops a strategy is handed bars that are physically cut."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.catalog import dataset_path
from ktrdr.domain.market import DATASETS, TIMEFRAME_SECONDS, DatasetSpec, midnight

Floats = NDArray[np.float64]
DAY = TIMEFRAME_SECONDS["1d"]


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


def load_development(key: str) -> Bars:
    """The bars up to the end of development; the holdout's are not in memory of the result."""
    bars = _load(key)
    return bars.until(development_bars(bars, DATASETS[key]))


def load_with_holdout(key: str) -> tuple[Bars, int]:
    """All bars and the index of the first holdout bar. Only the exam calls this."""
    bars = _load(key)
    return bars, development_bars(bars, DATASETS[key])


def development_bars(bars: Bars, spec: DatasetSpec) -> int:
    """How many of the bars have closed when development ends. A bar that ends later has seen the holdout."""
    return closed_by(bars, TIMEFRAME_SECONDS[spec.timeframe], midnight(spec.development_end) + DAY)


def closed_by(bars: Bars, seconds: int, moment: int) -> int:
    """How many of the bars, each `seconds` long, have closed at a moment (seconds since 1970-01-01 UTC)."""
    return int(np.searchsorted(bars.time, moment - seconds, side="right"))


def _load(key: str) -> Bars:
    with gzip.open(dataset_path(key), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    time = np.array([_time(row["Date"]) for row in rows], dtype=np.int64)
    named = (
        np.array([float(row[name]) for row in rows]) for name in ("Open", "High", "Low", "Close", "Volume")
    )
    return Bars(time, *named)


def _time(text: str) -> int:
    """`1/4/1999` (month first, as the package writes it) → seconds since 1970-01-01."""
    month, day, year = (int(part) for part in text.split("/"))
    return midnight(date(year, month, day))
