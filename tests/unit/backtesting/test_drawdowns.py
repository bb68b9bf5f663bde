from __future__ import annotations

import empyrical
import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.backtesting.drawdowns import deepest, drawdown_metrics, longest

from .simulations import DAY, MONDAY

WORTHS = st.lists(st.sampled_from([0.0, 50.0, 80.0, 100.0, 120.0, 150.0]), min_size=1, max_size=30)


def walk(worths: list[float]) -> tuple[float, tuple[int, int, int | None] | None]:
    """Depth and (start, trough, recovery), one worth at a time."""
    peak, peak_at, deepest_yet, where = 100.0, 0, 0.0, None
    for at, worth in enumerate([100.0, *worths]):
        if worth >= peak:
            peak, peak_at = worth, at
        elif 1.0 - worth / peak > deepest_yet:
            deepest_yet, where = 1.0 - worth / peak, (peak_at, at, peak)
    if where is None:
        return 0.0, None
    start, trough, height = where
    later = [at for at, worth in enumerate([100.0, *worths]) if at > trough and worth >= height]
    return deepest_yet, (start, trough, later[0] if later else None)


def below(worths: list[float]) -> int:
    """The longest time from a peak to its recovery, or to the end."""
    series = [100.0, *worths]
    spans = []
    for start in range(len(series)):
        if series[start] == max(series[: start + 1]):
            later = [at for at in range(start + 1, len(series)) if series[at] >= series[start]]
            end = later[0] if later else len(series) - 1
            spans.append(end - start if end > start + 1 or not later else 0)
    return max(spans)


@settings(deadline=None, max_examples=300)
@given(WORTHS)
def test_the_deepest_drawdown_is_that_of_a_walk_over_the_worths(worths: list[float]) -> None:
    """Depth, peak, trough and recovery, found a second time one bar at a time."""
    depth, where = walk(worths)
    found = deepest(np.array([100.0, *worths]))
    if where is None:
        assert found is None
    else:
        assert found is not None
        assert (found.depth, (found.start, found.trough, found.recovery)) == (depth, where)


@settings(deadline=None, max_examples=300)
@given(WORTHS)
def test_the_longest_drawdown_ends_at_its_recovery_or_with_the_series(worths: list[float]) -> None:
    """Its length is that of the longest wait for an earlier peak."""
    found = longest(np.array([100.0, *worths]))
    assert (found[1] - found[0] if found else 0) == below(worths)


def test_the_depth_is_that_of_an_independent_library() -> None:
    """The maximum drawdown of a random walk agrees with empyrical's."""
    returns = np.random.default_rng(2).normal(0.0, 0.02, 500)
    equity = np.array(1000.0 * np.cumprod(1.0 + returns), dtype=np.float64)
    found = drawdown_metrics(equity, 1000.0, MONDAY + DAY * np.arange(500))
    assert found["max_drawdown"] == pytest.approx(-empyrical.max_drawdown(pandas.Series(returns)), rel=1e-12)


def test_a_drawdown_has_dates() -> None:
    """Bars are counted from peak to recovery, and days by the calendar, weekends included."""
    equity = np.array([100.0, 110.0, 99.0, 88.0, 105.0, 111.0, 100.0])
    time = MONDAY + DAY * np.array([0, 1, 2, 3, 4, 7, 8])
    assert drawdown_metrics(equity, 100.0, time) == {
        "max_drawdown": pytest.approx(0.2),
        "max_drawdown_bars": 4,
        "max_drawdown_days": 6.0,
        "max_drawdown_start": "2009-01-06T00:00:00Z",
        "max_drawdown_trough": "2009-01-08T00:00:00Z",
        "max_drawdown_recovery": "2009-01-12T00:00:00Z",
        "longest_drawdown_bars": 4,
        "longest_drawdown_days": 6.0,
    }


def test_a_drawdown_that_is_not_made_good_lasts_to_the_end() -> None:
    """There is no recovery, and the bars and days go on to the last bar."""
    found = drawdown_metrics(np.array([100.0, 90.0, 95.0]), 100.0, MONDAY + DAY * np.arange(3))
    assert (found["max_drawdown_recovery"], found["max_drawdown_bars"], found["max_drawdown_days"]) == (
        None,
        2,
        2.0,
    )


def test_an_account_that_never_falls_has_no_dates() -> None:
    """The size is 0 and everything else unknown."""
    found = drawdown_metrics(np.array([100.0, 101.0]), 100.0, MONDAY + DAY * np.arange(2))
    assert [name for name, value in found.items() if value is not None] == ["max_drawdown"]
    assert found["max_drawdown"] == 0.0
