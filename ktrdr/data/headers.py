"""Which column of somebody's file is what: the usual names, in any case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ktrdr.domain.errors import ImportRefused

PRICES = ("open", "high", "low", "close")
EXPECTED = "a header with time (or date, datetime, timestamp), open, high, low, close and perhaps volume"

# By role, the best name first: a file with several is read by the first that it has.
_NAMES: Mapping[str, Sequence[str]] = {
    "time": (
        "datetime",
        "date_time",
        "timestamp",
        "open_time",
        "opentime",
        "unix",
        "unix_timestamp",
        "epoch",
        "ts",
        "gmt_time",
        "utc_time",
        "local_time",
        "date",
        "time",
        "__index_level_0__",
        "",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "close/last", "last"),
    "volume": ("volume", "tick_volume", "tickvol", "vol", "v", "volume_base"),
}


@dataclass(frozen=True)
class Layout:
    """Positions of the columns that are read. `clock` is the time of day where `time` is only a date."""

    time: int
    clock: int | None
    prices: tuple[int, int, int, int]
    volume: int | None

    @property
    def positions(self) -> tuple[int, ...]:
        """Every column that is read, once."""
        found = (self.time, self.clock, *self.prices, self.volume)
        return tuple(dict.fromkeys(one for one in found if one is not None))


def layout_of(names: Sequence[str]) -> Layout | None:
    """The layout of a header; None when it lacks one of the four prices or the time."""
    found = {_plain(name): at for at, name in reversed(list(enumerate(names)))}
    roles = {role: _first(found, wanted) for role, wanted in _NAMES.items()}
    prices = [roles[name] for name in PRICES]
    if roles["time"] is None or None in prices:
        return None
    pair = roles["time"] == found.get("date") and "time" in found
    open_, high, low, close = (int(one) for one in prices if one is not None)
    volume = roles["volume"]
    if volume is None:  # `Volume BTC`, `Volume USDT`: the first one counts the thing itself
        volume = next((at for at, name in enumerate(names) if _plain(name).startswith("volume_")), None)
    return Layout(roles["time"], found["time"] if pair else None, (open_, high, low, close), volume)


def refuse_header(found: str) -> ImportRefused:
    """What a file without a usable header is told."""
    return ImportRefused(
        f"The file's columns are not recognised: expected {EXPECTED}. Found: {found[:200]!r}. "
        "Give the file such a first line.",
        {"expected": EXPECTED},
    )


def _plain(name: str) -> str:
    """`<TICKVOL>`, ` Open Time ` and `open_time` are names as everybody writes them."""
    return re.sub(r"[\s.-]+", "_", name.strip().strip("\"'<>").strip().lower()).strip("_") or (
        "__index_level_0__" if "index_level" in name else ""
    )


def _first(found: Mapping[str, int], wanted: Sequence[str]) -> int | None:
    return next((found[name] for name in wanted if name in found), None)
