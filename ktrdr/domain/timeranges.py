"""A stretch of days, as it is written on command lines: `20140101-20181231`, either end left open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.market import midnight

TIMERANGE_PATTERN = r"^([0-9]{8})?-([0-9]{8})?$"


@dataclass(frozen=True)
class TimeRange:
    """From one day to another, both included; None: no limit on that side."""

    first: date | None = None
    last: date | None = None

    @property
    def begin(self) -> int | None:
        """When the first day begins in UTC, in seconds since 1970-01-01."""
        return None if self.first is None else midnight(self.first)

    @property
    def end(self) -> int | None:
        """When the day after the last one begins, in the same seconds."""
        return None if self.last is None else midnight(self.last + timedelta(days=1))

    def __str__(self) -> str:
        return "-".join("" if day is None else day.strftime("%Y%m%d") for day in (self.first, self.last))


def parse_timerange(text: str) -> TimeRange:
    """The days that are named. Raises InvalidInput for another form, a day that is none, or none at all."""
    found = re.fullmatch(TIMERANGE_PATTERN, text)
    if found is None or not any(found.groups()):
        raise InvalidInput(
            f"timerange: {text!r} is not a range of days. Write 20140101-20181231, 20140101- or -20181231."
        )
    try:
        first, last = (None if one is None else date.fromisoformat(one) for one in found.groups())
    except ValueError as wrong:
        raise InvalidInput(f"timerange: {text!r} names a day that does not exist ({wrong}).") from wrong
    if first is not None and last is not None and last < first:
        raise InvalidInput(f"timerange: {text!r} ends before it begins. Write the earlier day first.")
    return TimeRange(first, last)


def check_within(wanted: TimeRange, segment: TimeRange, development_end: date) -> None:
    """Refuse days outside a validation segment: the holdout's, and those that networks learnt from.

    Raises InvalidInput saying which days there are.
    """
    named = [day for day in (wanted.first, wanted.last) if day is not None]
    sealed = [day for day in named if day > development_end]
    if sealed:
        raise InvalidInput(
            f"timerange: {sealed[0]} lies in the holdout, which is sealed: only a research session's "
            f"exam opens it. The validation segment is {segment}.",
            {"segment": str(segment), "development_end": development_end.isoformat()},
        )
    begins, ends = segment.first or date.min, segment.last or date.max
    if not all(begins <= day <= ends for day in named):
        raise InvalidInput(
            f"timerange: {wanted} is not all in the validation segment, {segment}: the rows that this "
            "model's networks did not learn from. Name days of it, or leave the range out to take all of it.",
            {"segment": str(segment)},
        )
