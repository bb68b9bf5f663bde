"""Times as people write them into seconds: one format a column, and no guess where two would fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as arrow
from numpy.typing import NDArray

from ktrdr.data.bars import DAY
from ktrdr.domain.errors import ImportRefused

Seconds = NDArray[np.int64]
Mask = NDArray[np.bool_]

READ_AS_UTC = "times without a zone are read as UTC"
_CLOCK = (
    r"(?:[T ]+(?P<h>\d{1,2}):?(?P<mi>\d{2})(?::?(?P<s>\d{2})(?:[.,]\d+)?)?)?"
    r"(?: ?(?P<half>[AaPp][Mm]))?"
    r"(?: ?(?:UTC|GMT|Z))?(?: ?(?P<sign>[+-])(?P<zh>\d{2}):?(?P<zm>\d{2})?)?$"
)
_YEAR_FIRST = r"^(?P<y>\d{4})[-./]?(?P<m>\d{1,2})[-./]?(?P<d>\d{1,2})" + _CLOCK
_YEAR_LAST = r"^(?P<a>\d{1,2})[-./](?P<b>\d{1,2})[-./](?P<y>\d{4})" + _CLOCK
_ZONED = r"(?:UTC|GMT|Z|[T ]\d{1,2}:\d{2}.*[+-]\d{2}:?\d{0,2})$"
_COMPACT = r"^(?:19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d[0-2]\d[0-5]\d(?:[0-5]\d)?$"
_NUMBER = r"^\d{9,19}(?:\.\d+)?$"
# The smallest number of each unit that is read as it: seconds since 1970, then thousandths and so on.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))


@dataclass(frozen=True)
class TimeOptions:
    """What the person who imports says about the times; None: to be found out."""

    timezone: str | None = None
    day_first: bool | None = None


class _Form(Enum):
    """How a column of times is written."""

    EPOCH = "a number since 1970"
    YEAR_FIRST = "year, month, day"
    DAY_FIRST = "day, month, year"
    MONTH_FIRST = "month, day, year"


@dataclass(frozen=True, eq=False)
class Times:
    """Seconds since 1970-01-01 UTC (n,), which of them could be read (n,), and what was assumed.

    `wall` is the clock that was written: its date names a daily bar wherever the clock stands.
    """

    utc: Seconds
    wall: Seconds
    readable: Mask
    notes: tuple[str, ...] = ()


def read_times(texts: Any, options: TimeOptions) -> Times:
    """Times of a pyarrow string array, in pieces or in one.

    The format is that of the whole column. Raises ImportRefused where day and month can't be told apart.
    """
    pieces = texts.chunks if isinstance(texts, pyarrow.ChunkedArray) else [texts]
    form, said = _form_of(pieces, options.day_first)
    found = [_read(piece, form, options) for piece in pieces]
    if not found:
        return Times(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    return Times(
        np.concatenate([one.utc for one in found]),
        np.concatenate([one.wall for one in found]),
        np.concatenate([one.readable for one in found]),
        tuple(dict.fromkeys([*said, *(note for one in found for note in one.notes)])),
    )


def _form_of(pieces: Sequence[Any], day_first: bool | None) -> tuple[_Form, tuple[str, ...]]:
    """How most of the column is written, and what that took for granted."""
    total = sum(len(one) for one in pieces)
    if 2 * sum(int(_numeric(one).sum()) for one in pieces) > total:
        return _Form.EPOCH, ()
    if 2 * sum(int(_matching(one, r"^\d{4}").sum()) for one in pieces) >= total:
        return _Form.YEAR_FIRST, ()
    if day_first is not None:
        return (_Form.DAY_FIRST if day_first else _Form.MONTH_FIRST), ()
    first, second = 0, 0
    for one in pieces:
        parts = _parts(one, _YEAR_LAST)
        first, second = max(first, parts["a"].max(initial=0)), max(second, parts["b"].max(initial=0))
    if first and (first > 12) == (second > 12):
        which = "both are above 12 in some row" if first > 12 else "neither is ever above 12"
        raise ImportRefused(
            f"The dates can be read day first or month first: of the two numbers {which}. "
            "Say which with --day-first or --month-first."
        )
    if first > 12:
        return _Form.DAY_FIRST, ("dates are read day first, as the whole column shows",)
    return _Form.MONTH_FIRST, ("dates are read month first, as the whole column shows",)


def _read(texts: Any, form: _Form, options: TimeOptions) -> Times:
    if form is _Form.EPOCH:
        readable = _matching(texts, _NUMBER)
        numbers = arrow.if_else(pyarrow.array(readable), texts, "0")
        return _localised(epoch_seconds(_floats(numbers)), readable, options, zoned=readable)
    if form is _Form.YEAR_FIRST:
        # 202401022130: the clock stands right behind the date
        texts = arrow.replace_substring_regex(texts, r"^(\d{8})(\d{4,6})$", r"\1 \2")
        parts = _parts(texts, _YEAR_FIRST)
        month, day = parts["m"], parts["d"]
    else:
        parts = _parts(texts, _YEAR_LAST)
        names = ("b", "a") if form is _Form.DAY_FIRST else ("a", "b")
        month, day = parts[names[0]], parts[names[1]]
    wall, readable = _wall_clock(parts, month, day)
    offset = (parts["zh"].clip(0) * 3600 + parts["zm"].clip(0) * 60) * np.where(parts["minus"] > 0, -1, 1)
    found = _localised(wall - offset, readable, options, zoned=_matching(texts, _ZONED))
    return Times(found.utc, wall if options.timezone is None else found.wall, readable, found.notes)


def epoch_seconds(numbers: NDArray[np.float64]) -> Seconds:
    """Seconds, milli-, micro- or nanoseconds since 1970 as whole seconds; each number by its size."""
    units = np.select([numbers >= smallest for smallest, _ in _UNITS], [unit for _, unit in _UNITS], 1)
    return np.asarray(np.floor(numbers / units + 1e-6), dtype=np.int64)


def in_zone(wall: Seconds, zone: str) -> Seconds:
    """A clock's readings in a time zone as UTC; the second of two equal hours in autumn is the first."""
    stamps = pyarrow.array(wall).cast(pyarrow.timestamp("s"))
    aware = arrow.assume_timezone(stamps, zone, ambiguous="earliest", nonexistent="earliest")
    return np.array(aware.cast(pyarrow.int64()).to_numpy(zero_copy_only=False))


def wall_in(utc: Seconds, zone: str) -> Seconds:
    """What a clock in a time zone shows at a moment of UTC."""
    aware = pyarrow.array(utc).cast(pyarrow.timestamp("s", zone))
    return np.array(arrow.local_timestamp(aware).cast(pyarrow.int64()).to_numpy(zero_copy_only=False))


def _localised(seconds: Seconds, readable: Mask, options: TimeOptions, *, zoned: Mask) -> Times:
    """Readings of a clock without a zone are UTC, or of the zone that was given."""
    zone = options.timezone
    if zone is None:
        naive = bool((readable & ~zoned).any())
        return Times(seconds, seconds, readable, (READ_AS_UTC,) if naive else ())
    utc = np.where(zoned, seconds, in_zone(np.where(readable, seconds, 0), zone))
    return Times(utc, wall_in(utc, zone), readable)


def _wall_clock(parts: dict[str, Seconds], month: Seconds, day: Seconds) -> tuple[Seconds, Mask]:
    """Seconds since 1970 by the clock that was written, and which readings are dates and times at all."""
    hour, minute, second = (parts[name].clip(0) for name in ("h", "mi", "s"))
    half = parts["half"]
    right = (parts["y"] >= 1900) & (month >= 1) & (month <= 12) & (day >= 1)
    right &= (hour < 24) & (minute < 60) & (second < 60)
    right &= (half < 0) | ((hour >= 1) & (hour <= 12))
    hour = np.where(half >= 0, hour % 12 + 12 * (half == 1), hour)
    months = np.where(right, (parts["y"] - 1970) * 12 + month - 1, 0)
    begins = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    following = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    right &= day <= following - begins
    wall = (begins + day - 1) * DAY + hour * 3600 + minute * 60 + second
    return np.where(right, wall, 0), right


def _parts(texts: Any, pattern: str) -> dict[str, Seconds]:
    """The pattern's named numbers, each (n,); -1 where there is none or the text is another."""
    found = arrow.extract_regex(texts, pattern=pattern)
    found = found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found
    parts: dict[str, Seconds] = {}
    for field in found.type:
        column = arrow.struct_field(found, field.name)
        if field.name == "half":
            lower = arrow.utf8_lower(column)
            morning = arrow.if_else(arrow.equal(lower, "am"), "0", "")
            column = arrow.if_else(arrow.equal(lower, "pm"), "1", morning)
        if field.name == "sign":
            parts["minus"] = np.array(arrow.fill_null(arrow.equal(column, "-"), False), dtype=np.int64)
            continue
        given = arrow.fill_null(arrow.not_equal(column, ""), False)
        numbers = arrow.if_else(given, column, "-1").cast(pyarrow.int64())
        parts[field.name] = np.array(numbers.fill_null(-1).to_numpy(zero_copy_only=False))
    return parts


def _floats(texts: Any) -> NDArray[np.float64]:
    return np.array(texts.cast(pyarrow.float64()).to_numpy(zero_copy_only=False))


def _numeric(texts: Any) -> Mask:
    """Numbers since 1970, which a compact date with its clock (202401022130) is not."""
    return _matching(texts, _NUMBER) & ~_matching(texts, _COMPACT)


def _matching(texts: Any, pattern: str) -> Mask:
    return _mask(arrow.match_substring_regex(texts, pattern))


def _mask(found: Any) -> Mask:
    return np.array(arrow.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
