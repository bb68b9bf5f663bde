"""Bars know when they open, and a cut is made by when they close."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np

from ktrdr.data.bars import Bars, closed_by, development_bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.market import NASDAQ, TIMEFRAME_SECONDS, midnight


def test_a_daily_bar_opens_at_midnight_of_its_day() -> None:
    first = int(load_development(Catalog(None), "nasdaq").time[0])
    assert datetime.fromtimestamp(first, UTC) == datetime(1999, 1, 4, tzinfo=UTC)


def test_a_week_that_ends_in_the_holdout_is_not_development() -> None:
    """Its close is a holdout price, whatever day it opened on."""
    mondays = midnight(date(2013, 12, 16)) + np.arange(4) * TIMEFRAME_SECONDS["1w"]
    prices = np.ones(4)
    weeks = Bars(mondays, prices, prices, prices, prices, prices)
    assert development_bars(weeks, replace(NASDAQ, timeframe="1w")) == 2
    assert development_bars(weeks, NASDAQ) == 3
    assert development_bars(weeks, NASDAQ, "1w") == 2


def test_a_bar_is_closed_from_its_very_close_on() -> None:
    one = np.ones(1)
    bar = Bars(np.array([7200]), one, one, one, one, one)
    assert [closed_by(bar, 3600, moment) for moment in (10_799, 10_800)] == [0, 1]


def test_a_year_has_as_many_bars_as_their_times_say() -> None:
    """252 trading days of the built-in data, 8766 hours without a closing, trading days of a lone bar."""
    assert load_development(Catalog(None), "nasdaq").per_year == 252.0
    hours = np.arange(3000) * TIMEFRAME_SECONDS["1h"]
    flat = np.ones(3000)
    assert Bars(hours, flat, flat, flat, flat, flat).per_year == 8766.0
    assert Bars(hours, flat, flat, flat, flat, flat).until(1).per_year == 252.0
