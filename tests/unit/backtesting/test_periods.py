from __future__ import annotations

import empyrical
import numpy as np
import pandas
import pytest

from ktrdr.backtesting.periods import monthly_returns, yearly_returns

from .simulations import DAY, MONDAY, finished

FEBRUARY = 1_233_446_400  # 2009-02-01


def test_months_and_years_are_those_of_an_independent_library() -> None:
    """Of a segment that begins within a month and ends within a year; they compound to the whole."""
    case = finished()
    time, equity = case.bars.time[case.result.first :], case.result.equity
    series = pandas.Series(equity, index=pandas.to_datetime(time, unit="s")).pct_change().fillna(0.0)
    months = empyrical.aggregate_returns(series, "monthly")
    years = empyrical.aggregate_returns(series, "yearly")
    found = monthly_returns(time, equity, case.rules.capital)
    assert [(year, month) for year, month, _ in found] == list(months.index)
    assert [value for *_, value in found] == pytest.approx(months.to_list())
    assert dict(yearly_returns(time, equity, case.rules.capital)) == pytest.approx(years.to_dict())
    assert np.prod([1 + value for *_, value in found]) == pytest.approx(equity[-1] / case.rules.capital)


def test_a_bar_belongs_to_the_month_in_which_it_opens() -> None:
    """One second before February, UTC, is January."""
    time = np.array([FEBRUARY - 1, FEBRUARY])
    found = monthly_returns(time, np.array([110.0, 121.0]), 100.0)
    assert [(year, month) for year, month, _ in found] == [(2009, 1), (2009, 2)]
    assert [value for *_, value in found] == pytest.approx([0.1, 0.1])


def test_times_before_1970_have_their_year() -> None:
    """A series of the nineteen-fifties is not turned into one of another century."""
    assert dict(yearly_returns(np.array([-DAY]), np.array([110.0]), 100.0)) == {1969: pytest.approx(0.1)}


def test_after_ruin_a_month_returns_nothing() -> None:
    """The month of the ruin has lost it all, later ones divide nothing by nothing and say 0."""
    time = MONDAY + 31 * DAY * np.arange(3)
    found = monthly_returns(time, np.array([50.0, 0.0, 0.0]), 100.0)
    assert [value for *_, value in found] == [-0.5, -1.0, 0.0]
