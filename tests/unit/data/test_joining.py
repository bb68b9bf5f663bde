"""Two series side by side: the newest bar that is known, and never one that is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.data.bars import Bars
from ktrdr.data.joining import last_closed
from ktrdr.data.market import Market
from ktrdr.domain.errors import DatasetNotFound
from ktrdr.domain.market import TIMEFRAME_SECONDS

TIMEFRAMES = st.sampled_from(sorted(TIMEFRAME_SECONDS))


def bars_at(timeframe: str, positions: list[int]) -> Bars:
    """Bars on the timeframe's grid; the close says which bar it is."""
    time = np.array(positions, dtype=np.int64) * TIMEFRAME_SECONDS[timeframe]
    close = np.arange(len(time), dtype=np.float64)
    return Bars(time, close, close, close, close, np.zeros(len(time)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Bars, int, Bars, int]:
    """Two series with gaps, of any two timeframes, over about the same time."""
    made: list[tuple[Bars, int]] = []
    begin = draw(st.integers(0, 10**6))
    for timeframe in (draw(TIMEFRAMES), draw(TIMEFRAMES)):
        first = begin // TIMEFRAME_SECONDS[timeframe]
        steps = draw(st.lists(st.integers(1, 40), max_size=40))
        positions = list(np.cumsum([first, *steps])) if steps else []
        made.append((bars_at(timeframe, positions), TIMEFRAME_SECONDS[timeframe]))
    return (*made[0], *made[1])


@given(pairs())
def test_the_newest_bar_that_has_closed_is_chosen(pair: tuple[Bars, int, Bars, int]) -> None:
    """By the definition, bar for bar, whichever of the two timeframes is the higher."""
    base, base_seconds, other, other_seconds = pair
    found = last_closed(base, base_seconds, other, other_seconds)
    assert found.shape == (len(base),)
    for opened, index in zip(base.time, found, strict=True):
        closed = [i for i, start in enumerate(other.time) if start + other_seconds <= opened + base_seconds]
        assert index == (closed[-1] if closed else -1)


@given(pairs(), st.data())
def test_a_bar_that_closes_later_moves_nothing(
    pair: tuple[Bars, int, Bars, int], data: st.DataObject
) -> None:
    """Whatever is done to bars that close after a base bar's close, that base bar sees the same."""
    base, base_seconds, other, other_seconds = pair
    if not len(base):
        return
    at = data.draw(st.integers(0, len(base) - 1))
    kept = int((other.time + other_seconds <= base.time[at] + base_seconds).sum())
    fewer = other.until(data.draw(st.integers(kept, len(other))))
    fewer.time[kept:] += data.draw(st.integers(0, 10**6))
    before = last_closed(base, base_seconds, other, other_seconds)[at]
    after = last_closed(base, base_seconds, fewer, other_seconds)[at]
    assert before == after == kept - 1


def test_a_day_is_seen_from_the_hour_on_that_ends_it() -> None:
    """At 23:00 the bar of that day closes with the hour; at 22:00 the day before is the last."""
    hours, days = bars_at("1h", list(range(48))), bars_at("1d", [0, 1])
    found = last_closed(hours, 3600, days, 86_400)
    assert list(found[:24]) == [-1] * 23 + [0]
    assert list(found[24:]) == [0] * 23 + [1]


def test_of_a_lower_timeframe_the_last_bar_inside_is_seen() -> None:
    days, hours = bars_at("1d", [0, 1]), bars_at("1h", list(range(30)))
    assert list(last_closed(days, 86_400, hours, 3600)) == [23, 29]


def test_a_series_that_was_not_loaded_is_named() -> None:
    """And so are those that were."""
    market = Market("1h", {("EURUSD", "1h"): bars_at("1h", [0])})
    assert len(market.bars("EURUSD", "1h")) == 1
    with pytest.raises(DatasetNotFound, match=r"'EURUSD' at 1d .* Loaded: EURUSD at 1h\."):
        market.bars("EURUSD", "1d")
