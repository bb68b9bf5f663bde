"""Which rows of a file can be bars, and why the others can't."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import DAY, Bars
from ktrdr.data.headers import PRICES
from ktrdr.data.tables import Table
from ktrdr.data.timestamps import READ_AS_UTC, Times
from ktrdr.domain.errors import ImportRefused
from ktrdr.domain.market import TIMEFRAME_SECONDS

SHOWN = 50
LATEST = 230 * 365 * DAY  # about the year 2200; what is later, or as much before 1970, is no time of a bar
MONDAY = 4 * DAY  # 1970-01-05


@dataclass(frozen=True)
class BadRow:
    """One row that is no bar: its line in the file and the reason."""

    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class SortedRows:
    """The rows that are bars, oldest first, and of the others how many for which reason, the commonest
    first; the first ones by line."""

    bars: Bars
    counts: Mapping[str, int]
    first_bad: tuple[BadRow, ...]
    notes: tuple[str, ...]

    @property
    def bad(self) -> int:
        return sum(self.counts.values())


def sort_rows(table: Table, timeframe: str) -> SortedRows:
    """Good rows and bad ones. Raises ImportRefused when the times are not of the timeframe."""
    reasons = [""]
    why = np.zeros(len(table.lines), dtype=np.int8)  # which of the reasons; 0: none
    for reason, wrong in _faults(table):
        why[wrong & (why == 0)] = len(reasons)
        reasons.append(reason)
    kept = np.flatnonzero(why == 0)
    notes = [one for one in table.notes if one != READ_AS_UTC or TIMEFRAME_SECONDS[timeframe] < DAY]
    if len(kept) > 1 and (np.diff(table.times.utc[kept]) < 0).all():
        kept = kept[::-1]
        notes.append("the newest row came first: the order is turned round")
    time = _opening_times(table.times, kept, timeframe)
    chosen = _rising(time)
    left_out = np.flatnonzero(~_marked(chosen, len(kept)))
    twice = np.isin(time[left_out], time[chosen])
    why[kept[left_out]] = np.where(twice, len(reasons), len(reasons) + 1)
    reasons += ["a time that is there already", "a time out of order"]
    rows = kept[chosen]
    opening, high, low, close = (table.prices[name][rows] for name in PRICES)
    bars = Bars(time[chosen], opening, high, low, close, table.volume[rows])
    counts, first_bad = _bad_rows(table, why, reasons)
    return SortedRows(bars, counts, first_bad, tuple(notes))


def _bad_rows(
    table: Table, why: NDArray[np.int8], reasons: Sequence[str]
) -> tuple[dict[str, int], tuple[BadRow, ...]]:
    counted = Counter(reason for _, reason in table.refused)
    counted.update(dict(zip(reasons, np.bincount(why, minlength=len(reasons)).tolist(), strict=True)))
    del counted[reasons[0]]
    found = [BadRow(int(table.lines[at]), reasons[why[at]]) for at in np.flatnonzero(why)[:SHOWN]]
    found += [BadRow(line, reason) for line, reason in table.refused[:SHOWN]]
    shown = tuple(sorted(found, key=lambda one: one.line)[:SHOWN])
    return {reason: count for reason, count in counted.most_common() if count}, shown


def _faults(table: Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Reasons in the order they are named; a row is bad for the first one that holds."""
    right = table.times.readable & (table.times.utc < LATEST) & (table.times.utc > -LATEST)
    yield "a time that can't be read", ~right
    for name, values in table.prices.items():
        yield f"{name} is no number", np.isnan(values)
        yield f"{name} is not finite", np.isinf(values)
        yield f"{name} is not above zero", values <= 0.0
    yield "volume is no number", ~np.isfinite(table.volume)
    yield "volume is below zero", table.volume < 0.0
    opening, high, low, close = (table.prices[name] for name in PRICES)
    yield "high is below low", high < low
    yield "high is below open or close", high < np.maximum(opening, close)
    yield "low is above open or close", low > np.minimum(opening, close)


def _opening_times(times: Times, kept: NDArray[np.int64], timeframe: str) -> NDArray[np.int64]:
    """When each bar opens. Days and weeks are dates, whatever the clock says; the rest is on a grid,
    that of a market which opens at half past too.
    """
    length = TIMEFRAME_SECONDS[timeframe]
    daily = length >= DAY
    time = times.wall[kept] if daily else times.utc[kept]
    _check_step(time, timeframe)
    if daily:
        time = time // DAY * DAY
    origin = MONDAY if timeframe == "1w" else 0
    places, counts = np.unique((time - origin) % length, return_counts=True)
    usual = int(places[counts.argmax()]) if len(places) else 0
    astray = int(((time - origin) % length != (0 if daily else usual)).sum())
    if astray:
        grid = "weeks are dated by their Monday" if daily else f"they do not stand {timeframe} apart"
        raise ImportRefused(
            f"{astray} of {len(time)} rows are not bars of {timeframe}: {grid}. "
            "Give the right --timeframe, or the --timezone that the times are of.",
            {"timeframe": timeframe, "looks_like": _look(time)},
        )
    return np.asarray(time, dtype=np.int64)


def _check_step(time: NDArray[np.int64], timeframe: str) -> None:
    step, wanted = _usual_step(time), TIMEFRAME_SECONDS[timeframe]
    if step and step != wanted and (step < wanted or step in TIMEFRAME_SECONDS.values()):
        raise ImportRefused(
            f"These are not bars of {timeframe}: they look like {_look(time)}. Give the right --timeframe.",
            {"timeframe": timeframe, "looks_like": _look(time)},
        )


def _usual_step(time: NDArray[np.int64]) -> int:
    """The commonest distance between two neighbours in time, in seconds; 0 with too few to say."""
    steps = np.diff(time)
    if (steps <= 0).any():
        steps = np.diff(np.unique(time))
    if len(steps) < 2:
        return 0
    lengths, counts = np.unique(steps, return_counts=True)
    return int(lengths[counts.argmax()])


def _look(time: NDArray[np.int64]) -> str:
    step = _usual_step(time)
    return next((name for name, one in TIMEFRAME_SECONDS.items() if one == step), f"bars of {step} s")


def _marked(at: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    found = np.zeros(count, dtype=np.bool_)
    found[at] = True
    return found


def _rising(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the longest strictly rising run of times: what is left out is what is out of order.

    Fredman (1975): the smallest end of each length of run, and who came before whom.
    """
    if (np.diff(time) > 0).all():
        return np.arange(len(time))
    ends: list[int] = []
    holders: list[int] = []
    before = np.full(len(time), -1, dtype=np.int64)
    for at, value in enumerate(time.tolist()):
        place = bisect_left(ends, value)
        if place < len(ends) and ends[place] == value:
            continue  # of two at the same time the first stays
        ends[place : place + 1] = [value]
        holders[place : place + 1] = [at]
        before[at] = holders[place - 1] if place else -1
    chosen: list[int] = []
    at = holders[-1] if holders else -1
    while at >= 0:
        chosen.append(at)
        at = int(before[at])
    return np.array(chosen[::-1], dtype=np.int64)
