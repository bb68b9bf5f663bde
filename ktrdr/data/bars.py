"""Bars in memory. What develops a strategy is handed bars that are physically cut."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.catalog import dataset_path
from ktrdr.domain.market import DATASETS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bars:
    """Daily bars, oldest first; each array has shape (n,). `time` counts days since 1970-01-01."""

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
    return bars.until(_first_after(bars, DATASETS[key].development_end))


def load_with_holdout(key: str) -> tuple[Bars, int]:
    """All bars and the index of the first holdout bar. Only the exam calls this."""
    bars = _load(key)
    return bars, _first_after(bars, DATASETS[key].development_end)


def _first_after(bars: Bars, day: date) -> int:
    days = (day - date(1970, 1, 1)).days
    return int(np.searchsorted(bars.time, days, side="right"))


def _load(key: str) -> Bars:
    with gzip.open(dataset_path(key), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    days = np.array([_days(row["Date"]) for row in rows], dtype=np.int64)
    named = (
        np.array([float(row[name]) for row in rows]) for name in ("Open", "High", "Low", "Close", "Volume")
    )
    return Bars(days, *named)


def _days(text: str) -> int:
    """`1/4/1999` (month first, as the package writes it) → days since 1970-01-01."""
    month, day, year = (int(part) for part in text.split("/"))
    return (date(year, month, day) - date(1970, 1, 1)).days
