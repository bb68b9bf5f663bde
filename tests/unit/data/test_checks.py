"""What is said of a series: holes are told from nights and weekends, and stale opens are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.checks import check
from ktrdr.data.loading import load_all
from tests.unit.data.series import walk


def only(bars: Bars, kept: np.ndarray) -> Bars:
    return Bars(*(getattr(bars, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")))


def test_a_clean_series_has_nothing_to_say() -> None:
    found = check(walk("1h", 1000), "1h")
    assert found["gaps"] == {"count": 0, "missing_bars": 0, "longest": [], "recurring": []}
    assert found["warnings"] == []
    assert (found["bars"], found["first"][0]["time"]) == (1000, "2024-01-01T00:00:00Z")
    assert len(found["first"]) == len(found["last"]) == 3


def test_nights_and_weekends_are_no_holes_and_missing_hours_are() -> None:
    """Monday to Friday, nine to five; two hours of one Tuesday and one whole day are gone."""
    bars = walk("1h", 24 * 7 * 20)
    hour, day = bars.time % 86_400 // 3600, (bars.time // 86_400 + 3) % 7
    open_hours = (hour >= 9) & (hour < 17) & (day < 5)
    tuesday = (bars.time // 86_400 == bars.time[0] // 86_400 + 22) & (hour >= 11) & (hour < 13)
    holiday = bars.time // 86_400 == bars.time[0] // 86_400 + 30
    found = check(only(bars, open_hours & ~tuesday & ~holiday), "1h")
    assert {one["seconds"] // 3600 for one in found["gaps"]["recurring"]} == {16, 64}
    assert found["gaps"]["count"] == 2
    assert found["gaps"]["longest"][0] == {
        "after": "2024-01-30T16:00:00Z",
        "before": "2024-02-01T09:00:00Z",
        "missing_bars": 40,
    }
    assert found["gaps"]["longest"][1]["missing_bars"] == 2


def test_an_open_that_is_the_close_before_it_is_warned_about() -> None:
    """An order filled at the next open would be filled at the close that it was decided on."""
    bars = walk("1d", 200)
    bars.open[1:] = bars.close[:-1]
    found = check(bars, "1d")
    assert found["open_is_previous_close"] == 1.0
    assert "filled at the close it was decided on" in found["warnings"][0]


def test_what_no_import_would_store_is_counted_all_the_same() -> None:
    bars = walk("1d", 100)
    bars.time[10], bars.time[20] = bars.time[9], bars.time[5]
    bars.high[30] = bars.low[30] - 1.0
    bars.volume[:50] = 0.0
    found = check(bars, "1d")
    assert (found["duplicates"], found["non_monotonic"], found["high_below_low"]) == (1, 1, 1)
    assert found["zero_volume"] == 0.5
    assert len(found["warnings"]) == 4


def test_the_built_in_data_is_clean() -> None:
    """Its opens are its own (0.8 %), and what is missing are the exchange's holidays."""
    found = check(load_all(Catalog(None), "nasdaq"), "1d")
    assert found["open_is_previous_close"] < 0.008
    assert found["warnings"] == []
    assert max(one["missing_bars"] for one in found["gaps"]["longest"]) == 6
    assert found["gaps"]["count"] < 20 * 10


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_series_of_hardly_anything_is_checked(count: int) -> None:
    assert check(walk("1h", count), "1h")["bars"] == count
