"""How numbers, times and other people's text are written on the sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape

NOTHING = "–"
MINUTE, HOUR, DAY = 60, 3600, 86_400
_SCIENTIFIC = 1e12  # from here on grouping by thousands is unreadable


def text(value: object) -> str:
    """Any value as HTML text or attribute. What cannot be printed becomes a visible mark.

    Names come from users, strategies and models. A character that turns the reading direction would let
    one of them rewrite what stands beside it.
    """
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(value))
    return escape(shown, quote=True)


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as per cent: 0.1234 is 12.3%."""
    if value is None:
        return NOTHING
    size = abs(value)
    digits = 2 if size < 0.0995 else 1 if size < 9.995 else 0
    return _number(value * 100.0, digits, signed=signed) + "%"


def money(value: float | None, *, signed: bool = False) -> str:
    """An amount in the account's currency: cents below a thousand, whole units above."""
    if value is None:
        return NOTHING
    return _number(value, 2 if abs(value) < 999.995 else 0, signed=signed)


def cents(value: float | None, *, signed: bool = False) -> str:
    """An amount in a column of amounts: all of them with cents."""
    return NOTHING if value is None else _number(value, 2, signed=signed)


def price(value: float | None) -> str:
    """A rate with six significant digits, and two decimals or more."""
    if value is None:
        return NOTHING
    if value == 0.0:
        return "0.00"
    return _number(value, max(2, min(10, 5 - math.floor(math.log10(abs(value))))))


def amount(value: float | None) -> str:
    """Units of what is traded, with five significant digits."""
    if value is None or value == 0.0:
        return NOTHING if value is None else "0"
    return _number(value, max(0, min(8, 4 - math.floor(math.log10(abs(value))))))


def ratio(value: float | None) -> str:
    """A number without a unit, with two decimals."""
    return NOTHING if value is None else _number(value, 2)


def count(value: float | None) -> str:
    return NOTHING if value is None else _number(value, 0 if float(value).is_integer() else 1)


def chosen(value: float) -> str:
    """A fee or a level that somebody chose, as a per cent with no more digits than it has."""
    shown = f"{value * 100.0:.6f}".rstrip("0").rstrip(".")
    return _minus(shown) + "%"


def duration(seconds: float | None) -> str:
    """The two largest units: 3 d 4 h."""
    if seconds is None:
        return NOTHING
    left = round(seconds)
    if left < MINUTE:
        return f"{left} s"
    parts = []
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if left >= unit:
            parts.append(f"{left // unit:,} {name}")
            left %= unit
    return " ".join(parts[:2])


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def instant(written: str) -> float:
    """Seconds since 1970-01-01 UTC of an ISO 8601 time; one without a zone is UTC."""
    read = datetime.fromisoformat(written)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def date(seconds: float) -> str:
    """Day, and the minute unless it is midnight; UTC."""
    at = moment(seconds)
    return f"{at:%Y-%m-%d}" if at.hour == at.minute == 0 else f"{at:%Y-%m-%d %H:%M}"


def alike(values: Sequence[float], *, unit: str = "") -> Callable[[float], str]:
    """How to write the values of an axis: all with as many decimals as the one that needs most."""
    factor = 100.0 if unit == "%" else 1.0
    digits = next(
        (
            some
            for some in range(10)
            if all(math.isclose(round(one * factor, some), one * factor) for one in values)
        ),
        10,
    )
    return lambda value: _number(value * factor, digits) + unit


def _number(value: float, digits: int, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= _SCIENTIFIC:
        return _minus(f"{value:.3g}")
    rounded = round(value, digits)
    if rounded == 0.0:  # no minus before a zero
        return f"{0.0:.{digits}f}"
    return _minus(f"{rounded:{'+' if signed else ''},.{digits}f}")


def _minus(written: str) -> str:
    return written.replace("-", "\N{MINUS SIGN}")
