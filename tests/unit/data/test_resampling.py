"""A higher timeframe is what its bars add up to, and is not there before they do."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.data.bars import COLUMNS, Bars
from ktrdr.data.resampling import resample
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.market import TIMEFRAME_SECONDS
from tests.unit.data.series import day_of, walk

PAIRS = [
    (one, other)
    for one, short in TIMEFRAME_SECONDS.items()
    for other, long in TIMEFRAME_SECONDS.items()
    if short < long and long % short == 0
]


class Row(NamedTuple):
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def by_hand(bars: Bars, short: int, long: int, origin: int) -> list[Row]:
    """Bar for bar, as a person would."""
    found: list[Row] = []
    for time_, *prices in zip(*(getattr(bars, name).tolist() for name in COLUMNS), strict=True):
        opens = (time_ - origin) // long * long + origin
        if found and found[-1].time == opens:
            row, (_, high, low, close, volume) = found[-1], prices
            high, low = max(row.high, high), min(row.low, low)
            found[-1] = Row(opens, row.open, high, low, close, row.volume + volume)
        else:
            found.append(Row(opens, *prices))
    if found and int(bars.time[-1]) + short < found[-1].time + long:
        found.pop()
    return found


@st.composite
def series(draw: st.DrawFn) -> tuple[Bars, str, str]:
    """Bars with gaps, of one timeframe, and a higher one."""
    short, long = draw(st.sampled_from(PAIRS))
    gaps = draw(st.lists(st.integers(1, 60), min_size=1, max_size=80))
    bars = walk(short, len(gaps), seed=draw(st.integers(0, 1000)))
    begin = draw(st.integers(0, 10**6))
    bars.time[:] = (begin + np.cumsum(gaps)) * TIMEFRAME_SECONDS[short]
    if short == "1w":
        bars.time[:] += 4 * TIMEFRAME_SECONDS["1d"]
    bars.volume[:] = np.round(bars.volume)
    return bars, short, long


@given(series())
def test_each_bucket_is_what_its_bars_add_up_to(case: tuple[Bars, str, str]) -> None:
    bars, timeframe, wanted = case
    found = resample(bars, timeframe, wanted)
    origin = 4 * TIMEFRAME_SECONDS["1d"] if wanted == "1w" else 0
    expected = by_hand(bars, TIMEFRAME_SECONDS[timeframe], TIMEFRAME_SECONDS[wanted], origin)
    rows = list(zip(*(getattr(found, name).tolist() for name in COLUMNS), strict=True))
    assert rows == [tuple(row) for row in expected]


@given(series(), st.data())
def test_a_bucket_is_not_there_before_its_last_bar_has_closed(
    case: tuple[Bars, str, str], data: st.DataObject
) -> None:
    """Cut anywhere, the bars that are left give the buckets that had ended by then, and no other."""
    bars, timeframe, wanted = case
    end = data.draw(st.integers(1, len(bars)))
    whole, part = resample(bars, timeframe, wanted), resample(bars.until(end), timeframe, wanted)
    np.testing.assert_array_equal(part.close, whole.close[: len(part)])
    np.testing.assert_array_equal(part.high, whole.high[: len(part)])
    closed = bars.time[end - 1] + TIMEFRAME_SECONDS[timeframe]
    assert (part.time + TIMEFRAME_SECONDS[wanted] <= closed).all()


def test_weeks_begin_on_monday() -> None:
    weeks = resample(walk("1d", 30), "1d", "1w")
    assert {day_of(int(one)).weekday() for one in weeks.time} == {0}
    assert len(weeks) == 4


def test_a_bar_that_would_lie_in_two_buckets_is_refused() -> None:
    """An hour from 11:30 on ends after the four hours that end at 12:00: its close is not theirs."""
    hours = walk("1h", 24)
    hours.time[:] += 1800
    with pytest.raises(InvalidInput, match="end in the 4h bar after"):
        resample(hours, "1h", "4h")


def test_bars_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(InvalidInput, match="do not add up"):
        resample(walk("1d", 5), "1d", "1h")


def test_a_million_minutes_are_hours_in_less_than_a_tenth_of_a_second() -> None:
    minutes = walk("1m", 1_000_000)
    seconds = []
    for _ in range(3):  # the fastest of three: the machine may be busy with something else
        begun = time.perf_counter()
        resample(minutes, "1m", "1h")
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.1
