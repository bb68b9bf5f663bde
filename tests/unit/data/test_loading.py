"""What a strategy is handed: every series it reads, and nothing of the holdout."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.data.bars import COLUMNS
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_all, load_development, load_market, load_with_holdout
from ktrdr.data.resampling import resample
from ktrdr.data.storage import content_sha256
from ktrdr.domain.errors import DatasetCorrupted, DatasetNotFound
from ktrdr.domain.market import TIMEFRAME_SECONDS, midnight
from tests.unit.data.series import put, walk
from tests.unit.data.test_catalog import on

HOLDOUT = date(2024, 1, 25)  # a Thursday: the week of it has begun before
FRAMES: dict[str, Any] = {"mode": "multi_timeframe", "list": ["1h", "1d", "1w"], "base_timeframe": "1h"}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def test_what_was_stored_is_what_is_loaded(catalog: Catalog, tmp_path: Path) -> None:
    """To the last bit, and in memory of its own."""
    bars = walk("5m", 3000)
    spec = put(tmp_path, "X", "5m", bars)
    found = load_all(catalog, spec.key)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(bars, name))
        assert getattr(found, name).flags.writeable
    assert catalog.sha256(spec.key) == content_sha256(found)


def test_development_ends_where_the_holdout_begins(catalog: Catalog, tmp_path: Path) -> None:
    spec = put(tmp_path, "X", "1h", walk("1h", 24 * 35), holdout=HOLDOUT)
    development, (whole, first) = load_development(catalog, spec.key), load_with_holdout(catalog, spec.key)
    assert len(development) == first == 24 * 24
    assert whole.time[first] == midnight(HOLDOUT)


def test_no_series_of_a_strategy_reaches_into_the_holdout(catalog: Catalog, tmp_path: Path) -> None:
    """Two symbols and an indicator's source at three timeframes: every bar has closed before it begins."""
    put(tmp_path, "A", "1h", walk("1h", 24 * 35), holdout=HOLDOUT)
    put(tmp_path, "B", "1h", walk("1h", 24 * 40, seed=2), holdout=date(2024, 2, 8))
    put(tmp_path, "FEAR", "1h", walk("1h", 24 * 40, seed=3))
    fear = {"type": "rsi", "data_source": "FEAR"}
    strategy = on({"mode": "multi_symbol", "list": ["A", "B"]}, FRAMES, fear=fear)
    market = load_market(catalog, strategy, with_holdout=False)
    assert market.base == "1h"
    assert sorted(market.series) == sorted(
        (symbol, timeframe) for symbol in ("A", "B", "FEAR") for timeframe in ("1h", "1d", "1w")
    )
    for (_, timeframe), bars in market.series.items():
        assert len(bars)
        assert bars.time[-1] + TIMEFRAME_SECONDS[timeframe] <= midnight(HOLDOUT)
    assert len(market.bars("B", "1w")) == 3, "the week in which the holdout begins is not there"


def test_the_holdout_of_another_symbol_is_not_read_either(catalog: Catalog, tmp_path: Path) -> None:
    """Its own sessions are to sit that exam unseen; so all series end where its development ends."""
    put(tmp_path, "A", "1h", walk("1h", 24 * 35), holdout=HOLDOUT)
    put(tmp_path, "B", "1h", walk("1h", 24 * 35, seed=2), holdout=HOLDOUT - timedelta(days=9))
    for strategy in (
        on({"mode": "multi_symbol", "list": ["A", "B"]}, FRAMES),
        on({"symbol": "A"}, FRAMES, fear={"type": "rsi", "data_source": "B"}),
    ):
        market = load_market(catalog, strategy, with_holdout=False)
        for (_, timeframe), bars in market.series.items():
            assert bars.time[-1] + TIMEFRAME_SECONDS[timeframe] <= midnight(HOLDOUT - timedelta(days=9))


def test_a_change_in_the_holdout_moves_nothing_that_is_loaded(catalog: Catalog, tmp_path: Path) -> None:
    """Planted in the last bars, a value is seen with the holdout, and in no series without it."""
    bars = walk("1h", 24 * 35)
    put(tmp_path, "A", "1h", bars, holdout=HOLDOUT)
    strategy = on({"symbol": "A"}, FRAMES)
    before = load_market(catalog, strategy, with_holdout=False)
    bars.high[24 * 24 :] = 9999.0
    put(tmp_path, "A", "1h", bars, holdout=HOLDOUT)
    after = load_market(catalog, strategy, with_holdout=False)
    for key, series in before.series.items():
        np.testing.assert_array_equal(series.high, after.series[key].high)
    opened = load_market(catalog, strategy, with_holdout=True)
    assert all(series.high.max() == 9999.0 for series in opened.series.values())


def test_a_stored_timeframe_is_not_made_anew(catalog: Catalog, tmp_path: Path) -> None:
    """The exchange's own daily bars differ from what its hours add up to."""
    hours, days = walk("1h", 24 * 35), walk("1d", 35, seed=5)
    put(tmp_path, "A", "1h", hours, holdout=HOLDOUT)
    strategy = on({"symbol": "A"}, {**FRAMES, "list": ["1h", "1d"]})
    made = load_market(catalog, strategy, with_holdout=True).bars("A", "1d")
    np.testing.assert_array_equal(made.close, resample(hours, "1h", "1d").close)
    put(tmp_path, "A", "1d", days, holdout=HOLDOUT)
    own = load_market(catalog, strategy, with_holdout=True).bars("A", "1d")
    np.testing.assert_array_equal(own.close, days.close)


def test_bars_that_are_not_what_was_imported_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    spec = put(tmp_path, "A", "1h", walk("1h", 100))
    path = catalog.path(spec.key)
    other = put(tmp_path, "B", "1h", walk("1h", 100, seed=2))
    path.write_bytes(catalog.path(other.key).read_bytes())
    with pytest.raises(DatasetCorrupted, match="not what was imported"):
        load_all(catalog, spec.key)
    path.write_bytes(b"no parquet")
    with pytest.raises(DatasetCorrupted, match="can't be read"):
        load_all(catalog, spec.key)
    path.unlink()
    with pytest.raises(DatasetNotFound, match="Import them again"):
        load_all(catalog, spec.key)


def test_bars_in_memory_need_no_parquet() -> None:
    """A worker that trains on built-in data does not pay for it."""
    source = "import sys, ktrdr.data.loading; print('pyarrow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", source], text=True).strip() == "False"
