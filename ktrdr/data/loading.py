"""From data sets to bars in memory. What develops a strategy is handed bars that are physically cut."""

from __future__ import annotations

import csv
import gzip
from datetime import date

import numpy as np

from ktrdr.data.bars import DAY, Bars, closed_by, development_bars
from ktrdr.data.catalog import Catalog, series_of
from ktrdr.data.market import Market
from ktrdr.data.resampling import resample
from ktrdr.data.storage import content_sha256, read_bars
from ktrdr.domain.errors import DatasetCorrupted, DatasetNotFound
from ktrdr.domain.market import DATASETS, TIMEFRAME_SECONDS, midnight
from ktrdr.domain.strategies import Strategy


def load_development(catalog: Catalog, key: str) -> Bars:
    """The bars up to the end of development; the holdout's are not in memory of the result."""
    bars = load_all(catalog, key)
    return bars.until(development_bars(bars, catalog.get(key)))


def load_with_holdout(catalog: Catalog, key: str) -> tuple[Bars, int]:
    """All bars and the index of the first holdout bar. Only the exam calls this."""
    bars = load_all(catalog, key)
    return bars, development_bars(bars, catalog.get(key))


def load_market(catalog: Catalog, strategy: Strategy, *, with_holdout: bool) -> Market:
    """Every series that a strategy reads, the symbols of its indicators' data sources too.

    Without the holdout all of them end where the first of their developments ends, so that nobody's
    holdout is read; they are cut before a higher timeframe is made of them. Raises InvalidInput when a
    series is not there.
    """
    catalog.dataset_of(strategy)
    sources = {one: catalog.source_of(*one) for one in series_of(strategy)}
    known_to = min(source.development_end for source in sources.values() if source is not None)
    end = midnight(known_to) + DAY
    stored: dict[str, Bars] = {}
    series: dict[tuple[str, str], Bars] = {}
    for (symbol, timeframe), source in sources.items():
        assert source is not None  # dataset_of has asked for each of them
        if source.key not in stored:
            bars = load_all(catalog, source.key)
            known = len(bars) if with_holdout else closed_by(bars, TIMEFRAME_SECONDS[source.timeframe], end)
            stored[source.key] = bars.until(known)
        bars = stored[source.key]
        same = source.timeframe == timeframe
        series[symbol, timeframe] = bars if same else resample(bars, source.timeframe, timeframe)
    return Market(strategy.training_data.timeframes.base, series)


def load_all(catalog: Catalog, key: str) -> Bars:
    """Every bar of a data set, verified. Raises DatasetNotFound or DatasetCorrupted."""
    path = catalog.path(key)
    if key in DATASETS:
        with gzip.open(path, "rt", newline="") as file:
            return _built_in(list(csv.DictReader(file)))
    try:
        bars = read_bars(path)
    except FileNotFoundError as gone:
        raise DatasetNotFound(f"The bars of '{key}' are gone from {path}. Import them again.") from gone
    except (OSError, ValueError) as error:
        raise DatasetCorrupted(key, f"{path} can't be read ({error})") from error
    if content_sha256(bars) != catalog.record(key).sha256:
        raise DatasetCorrupted(key, f"{path} is not what was imported")
    return bars


def _built_in(rows: list[dict[str, str]]) -> Bars:
    time = np.array([_time(row["Date"]) for row in rows], dtype=np.int64)
    named = (
        np.array([float(row[name]) for row in rows]) for name in ("Open", "High", "Low", "Close", "Volume")
    )
    return Bars(time, *named)


def _time(text: str) -> int:
    """`1/4/1999` (month first, as the package writes it) → seconds since 1970-01-01."""
    month, day, year = (int(part) for part in text.split("/"))
    return midnight(date(year, month, day))
