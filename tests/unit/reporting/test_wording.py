"""How numbers and times are written, and where ticks lie."""

from __future__ import annotations

import pytest

from ktrdr.reporting.scales import dates, decades, scale, spans_decades, steps
from ktrdr.reporting.wording import alike, chosen, date, duration, instant, money, percent, price, text

JANUARY = instant("2014-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.01234, "1.23%"),
        (0.1234, "12.3%"),
        (12.345, "1,234%"),
        (-0.5, "−50.0%"),
        (-1e-9, "0.00%"),
        (None, "–"),
    ],
)
def test_a_fraction_is_written_as_per_cent(value: float | None, written: str) -> None:
    """Three figures or so, a real minus, and no minus before a zero."""
    assert percent(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(187.88461, "187.885"), (0.0000123456, "0.0000123456"), (54_321.98, "54,321.98")]
)
def test_a_price_has_six_figures(value: float, written: str) -> None:
    assert price(value) == written


def test_money_and_costs_have_no_needless_digits() -> None:
    assert (money(1234.567), money(12.3), money(2e15)) == ("1,235", "12.30", "2e+15")
    assert (chosen(0.001), chosen(0.00075), chosen(0.0)) == ("0.1%", "0.075%", "0%")


def test_a_duration_has_two_units() -> None:
    assert [duration(one) for one in (40, 3600, 90_060, 8_640_000)] == ["40 s", "1 h", "1 d 1 h", "100 d"]


def test_a_time_without_a_zone_is_utc() -> None:
    assert instant("2014-01-01T00:00:00") == instant("2014-01-01T01:00:00+01:00") == JANUARY
    assert (date(JANUARY), date(JANUARY + 60)) == ("2014-01-01", "2014-01-01 00:01")


def test_text_is_escaped_and_printable() -> None:
    """Quotes too: the same text stands in attributes."""
    assert text('<a href="x">\'&\u202e\x00') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;\ufffd\ufffd"


def test_the_values_of_an_axis_have_as_many_decimals_as_the_longest() -> None:
    assert [alike([0.5, 1.0, 1.25])(one) for one in (0.5, 1.0)] == ["0.50", "1.00"]
    assert alike([-0.02, 0.0], unit="%")(-0.02) == "−2%"


def test_ticks_are_round_and_inside() -> None:
    assert steps(-0.21, 0.33) == pytest.approx([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3])
    assert decades(900.0, 120_000.0) == [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0]


@pytest.mark.parametrize(
    ("days", "first", "last"),
    [(0.2, "1 Jan", "04:30"), (20, "2 Jan", "20 Jan"), (200, "Jan 2014", "Jul 2014"), (9000, "2014", "2038")],
)
def test_dates_are_round_at_every_length(days: float, first: str, last: str) -> None:
    """From hours to decades: few enough to be read, at hours, days, months or years."""
    ticks = dates(JANUARY, JANUARY + days * 86_400)
    assert (ticks[0].label, ticks[-1].label) == (first, last)
    assert 2 <= len(ticks) <= 14
    assert all(0.0 <= one.place <= 1.0 for one in ticks)


def test_a_log_scale_is_for_more_than_threefold_growth() -> None:
    """Equal factors are equal distances on it; nothing and losses beyond nothing have none."""
    assert [spans_decades(one) for one in ([1.0, 3.0], [1.0, 3.1], [0.0, 5.0])] == [False, True, False]
    one = scale([1.0, 100.0], 0.0, 100.0, log=True)
    assert one.at(10.0) == pytest.approx(50.0)
