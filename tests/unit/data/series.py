"""Series for tests: a deterministic walk, and a catalogue that has it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.data.records import DatasetRecord, file_name, key_of
from ktrdr.data.storage import content_sha256, store
from ktrdr.domain.market import TIMEFRAME_SECONDS, DatasetSpec, midnight

MONDAY = date(2024, 1, 1)


def walk(timeframe: str, count: int, *, first: date = MONDAY, seed: int = 1) -> Bars:
    """A random walk without gaps; prices have two decimals, as files do."""
    random = np.random.default_rng(seed)
    time = midnight(first) + np.arange(count, dtype=np.int64) * TIMEFRAME_SECONDS[timeframe]
    steps = random.normal(0.0, 0.002 * min(1.0, 20_000 / count), (count, 3))
    prices = np.round(100.0 * np.exp(np.cumsum(steps).reshape(count, 3)), 2)
    opening, close = prices[:, 0].copy(), prices[:, 2].copy()
    volume = random.integers(1, 1000, count).astype(np.float64)
    return Bars(time, opening, prices.max(axis=1), prices.min(axis=1), close, volume)


def day_of(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def put(root: Path, symbol: str, timeframe: str, bars: Bars, *, holdout: date | None = None) -> DatasetSpec:
    """Store bars as an import does; the last quarter is the holdout when no date is given."""
    begins = holdout or day_of(int(bars.time[len(bars) * 3 // 4]))
    spec = DatasetSpec(
        key=key_of(symbol, timeframe),
        title=f"{symbol} at {timeframe}",
        symbol=symbol,
        timeframe=timeframe,
        start=day_of(int(bars.time[0])),
        development_end=begins - timedelta(days=1),
        holdout_start=begins,
        end=day_of(int(bars.time[-1])),
    )
    digest = content_sha256(bars)
    store(root, DatasetRecord(spec, digest, file_name(digest), "a test", "now", {}), bars, replace=True)
    return spec
