from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.backtesting.curves import drawdown
from ktrdr.backtesting.sampling import Chart, aggregated, kept_points

LENGTHS = st.integers(1, 400)
LIMITS = st.integers(3, 60)


@settings(deadline=None, max_examples=200)
@given(LENGTHS, LIMITS, st.integers(0, 1000))
def test_a_thinned_curve_keeps_its_ends_and_its_worst(length: int, limit: int, seed: int) -> None:
    """At most `limit` points, rising; first, last, and every depth so far as of the points that stay."""
    depths = drawdown(np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.05, length))))
    kept = kept_points(depths, limit)
    assert 1 <= len(kept) <= max(limit, 1)
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert (np.diff(kept) > 0).all()
    so_far = np.maximum.accumulate(depths[kept])
    # After the last point of a stretch the deepest so far is exact; between two it is that of one of them.
    assert so_far[-1] == depths.max()
    exact = np.maximum.accumulate(depths)[kept]
    assert (so_far <= exact).all()
    assert np.isin(so_far, exact).all()


def test_a_short_curve_is_kept_whole() -> None:
    """Nothing is thinned that fits."""
    assert kept_points(np.zeros(5000)).tolist() == list(range(5000))


def test_a_curve_of_less_than_three_points_is_refused() -> None:
    """First, deepest and last do not fit."""
    with pytest.raises(ValueError, match="at least 3 points"):
        kept_points(np.zeros(10), 2)


def test_one_bad_bar_among_a_million_stays() -> None:
    """A crash of a single bar is in the chart, and so is its bottom."""
    depths = np.zeros(1_000_000)
    depths[765_432] = 0.9
    kept = kept_points(depths)
    assert 765_432 in kept
    assert len(kept) <= 5000


@settings(deadline=None, max_examples=200)
@given(LENGTHS, st.integers(1, 60), st.integers(0, 1000))
def test_aggregated_candles_cover_the_same_prices(length: int, limit: int, seed: int) -> None:
    """At most `limit`; each has the first open, extremes and last close of its bars, one by one."""
    rng = np.random.default_rng(seed)
    prices = rng.uniform(1.0, 9.0, (4, length))
    prices.sort(axis=0)
    bars = Chart(60 * np.arange(length), prices[1], prices[3], prices[0], prices[2])
    found = aggregated(bars, limit)
    assert len(found.time) <= limit
    ends = [*found.time[1:].tolist(), 60 * length]
    for at, (begin, end) in enumerate(zip(found.time.tolist(), ends, strict=True)):
        rows = slice(begin // 60, end // 60)
        assert found.open[at] == bars.open[rows][0]
        assert found.high[at] == max(bars.high[rows])
        assert found.low[at] == min(bars.low[rows])
        assert found.close[at] == bars.close[rows][-1]
