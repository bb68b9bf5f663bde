"""Days as they are written on a command line, and which of them a backtest may see."""

from __future__ import annotations

from datetime import date

import pytest

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.market import midnight
from ktrdr.domain.timeranges import TimeRange, check_within, parse_timerange

SEGMENT = TimeRange(date(2006, 7, 5), date(2013, 12, 31))
DEVELOPMENT_END = date(2013, 12, 31)


@pytest.mark.parametrize("text", ["20140101-20181231", "20140101-", "-20181231"])
def test_a_range_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_timerange(text)) == text


def test_both_days_are_included() -> None:
    found = parse_timerange("20140101-20140101")
    assert (found.begin, found.end) == (midnight(date(2014, 1, 1)), midnight(date(2014, 1, 2)))
    assert (parse_timerange("20140101-").end, parse_timerange("-20140101").begin) == (None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2014-2018", "not a range of days"),
        ("20140101", "not a range of days"),
        ("-", "not a range of days"),
        ("20140101-20181231\n", "not a range of days"),
        ("20140230-", "a day that does not exist"),
        ("00000101-", "a day that does not exist"),
        ("20181231-20140101", "ends before it begins"),
    ],
)
def test_what_is_no_range_is_refused_with_the_form(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_timerange(text)


@pytest.mark.parametrize("text", ["20060705-20131231", "20090101-", "-20101231"])
def test_days_of_the_segment_are_let_through(text: str) -> None:
    check_within(parse_timerange(text), SEGMENT, DEVELOPMENT_END)


@pytest.mark.parametrize("text", ["20090101-20140101", "20140101-", "-20181231"])
def test_the_holdout_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"in the holdout, which is sealed.* is 20060705-20131231\."):
        check_within(parse_timerange(text), SEGMENT, DEVELOPMENT_END)


@pytest.mark.parametrize("text", ["20060704-20131231", "-20060704", "19990101-"])
def test_days_that_the_networks_learnt_from_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="did not learn from"):
        check_within(parse_timerange(text), SEGMENT, DEVELOPMENT_END)


def test_days_between_the_segment_and_the_end_of_development_are_refused_too() -> None:
    """A strategy's own date range may end before development does."""
    early = TimeRange(date(2006, 7, 5), date(2010, 12, 31))
    with pytest.raises(InvalidInput, match="20060705-20101231"):
        check_within(parse_timerange("20060705-20111231"), early, DEVELOPMENT_END)
