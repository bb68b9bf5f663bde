"""Where a value lies on an axis, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ktrdr.reporting.wording import DAY, HOUR, MINUTE, moment

LOG_FROM = 3.0  # an account that grew this many times over is read on a log scale


@dataclass(frozen=True)
class Scale:
    """Values to pixels, top to bottom: `high` is drawn at `top`, `low` at `bottom`."""

    low: float
    high: float
    top: float
    bottom: float
    log: bool = False

    def at(self, value: float) -> float:
        place, low, high = (self._place(one) for one in (value, self.low, self.high))
        return self.bottom - (place - low) / (high - low) * (self.bottom - self.top)

    def ticks(self) -> list[float]:
        found = decades(self.low, self.high) if self.log else []
        return found if len(found) >= 3 else steps(self.low, self.high)

    def _place(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.log else value


@dataclass(frozen=True)
class Tick:
    """A time on the axis: `place` is 0 at its left end, 1 at its right."""

    place: float
    label: str


def scale(values: Sequence[float], top: float, bottom: float, *, log: bool = False) -> Scale:
    """A scale around the values, with a little air above and below."""
    low, high = min(values), max(values)
    if log:
        air = (high / low) ** 0.04
        return Scale(low / air, high * air, top, bottom, log=True)
    air = (high - low) * 0.04 or abs(high) * 0.01 or 0.01
    return Scale(low - air, high + air, top, bottom)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether the values are better read on a log scale."""
    return min(values) > 0.0 and max(values) / min(values) > LOG_FROM


def step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 · 10^k that cuts `span` into at most `most` pieces."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(one * power for one in (1.0, 2.0, 5.0, 10.0) if one * power >= rough * (1.0 - 1e-9))


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between `low` and `high`."""
    if not high > low:
        return [low]
    wide = step(high - low, most)
    first, last = math.ceil(low / wide - 1e-9), math.floor(high / wide + 1e-9)
    return [one * wide for one in range(first, last + 1)]


def decades(low: float, high: float, most: int = 8) -> list[float]:
    """Round values between `low` and `high`, as many of each decade as fit."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leads in _LEADS:
        found = [lead * 10.0**power for power in powers for lead in leads]
        found = [one for one in found if low <= one <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


_LEADS = (
    (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0),
    (1.0, 2.0, 3.0, 5.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)


def dates(first: float, last: float) -> list[Tick]:
    """Round times between two moments (seconds since 1970-01-01 UTC), as many as their labels leave room."""
    if not last > first:
        return [Tick(0.5, f"{moment(first):%Y-%m-%d}")]
    begin, end = moment(first), moment(last)
    written, found = next(
        (how, found) for how, most, times in _GRIDS if len(found := times(begin, end)) <= most
    )
    return [Tick((one.timestamp() - first) / (last - first), written(one)) for one in found]


Written = Callable[[datetime], str]
Grid = Callable[[datetime, datetime], list[datetime]]


def _every(seconds: int) -> Grid:
    def times(begin: datetime, end: datetime) -> list[datetime]:
        first = math.ceil(begin.timestamp() / seconds) * seconds
        span = int(end.timestamp()) - first
        # More than a hundred are never written: no need to list a decade's minutes.
        many = min(span // seconds + 1, 100) if span >= 0 else 0
        return [moment(first) + timedelta(seconds=seconds * one) for one in range(many)]

    return times


def _monthly(months: int) -> Grid:
    def times(begin: datetime, end: datetime) -> list[datetime]:
        numbers = range(
            (begin.year * 12 + begin.month - 1) // months * months, end.year * 12 + end.month, months
        )
        found = [datetime(one // 12, one % 12 + 1, 1, tzinfo=UTC) for one in numbers]
        return [one for one in found if begin <= one <= end]

    return times


def _clock(at: datetime) -> str:
    return f"{at:%H:%M}" if at.hour or at.minute else f"{at.day} {at:%b}"


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def _month(at: datetime) -> str:
    return f"{at:%b %Y}"


def _year(at: datetime) -> str:
    return f"{at:%Y}"


_GRIDS: tuple[tuple[Written, int, Grid], ...] = (
    *((_clock, 10, _every(many * MINUTE)) for many in (1, 5, 15, 30)),
    *((_clock, 10, _every(many * HOUR)) for many in (1, 3, 6, 12)),
    *((_day, 10, _every(many * DAY)) for many in (1, 2, 7, 14)),
    *((_month, 8, _monthly(many)) for many in (1, 3, 6)),
    *((_year, 14, _monthly(12 * many)) for many in (1, 2, 5, 10, 25, 100, 1000)),
)
