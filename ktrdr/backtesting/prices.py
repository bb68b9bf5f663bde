"""The prices a simulation reads: bars of one symbol, or of several on one calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Targets = NDArray[np.signedinteger[Any]]


class Prices(Protocol):
    """Prices of the same bars, oldest first, and how many of them a year has.

    Each array is (n,) for one symbol, or (n, s) for several. `ktrdr.data.bars.Bars` is one, and so is
    a `Panel`.
    """

    @property
    def open(self) -> Floats: ...
    @property
    def high(self) -> Floats: ...
    @property
    def low(self) -> Floats: ...
    @property
    def close(self) -> Floats: ...
    @property
    def per_year(self) -> float: ...


class DatedPrices(Prices, Protocol):
    """Prices that say when each bar opens, (n,), rising, in seconds since 1970-01-01 UTC."""

    @property
    def time(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, eq=False)
class Panel:
    """Several symbols on the union of their bars' times, one column each; prices are (n, s).

    Where `present` (n, s) is False the symbol has no bar: its four prices are its last close before,
    or, before its first bar, that bar's open.
    """

    time: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    present: NDArray[np.bool_]
    per_year: float

    def __len__(self) -> int:
        return len(self.time)


def align(series: Sequence[DatedPrices]) -> Panel:
    """One calendar for several symbols, in their order. Raises ValueError when one has no bars."""
    if not series or not all(len(one.time) for one in series):
        raise ValueError("a portfolio needs symbols, and each of them bars")
    time = np.unique(np.concatenate([one.time for one in series]))
    places = [np.searchsorted(one.time, time, side="right") - 1 for one in series]
    present = np.column_stack([one.time[at] == time for one, at in zip(series, places, strict=True)])
    columns: dict[str, Floats] = {}
    for name in ("open", "high", "low", "close"):
        columns[name] = np.column_stack(
            [_column(one, at, name, there) for one, at, there in zip(series, places, present.T, strict=True)]
        )
    return Panel(time, **columns, present=present, per_year=_per_year(time, series))


def place_targets(
    panel: Panel, series: Sequence[DatedPrices], targets: Sequence[Targets]
) -> NDArray[np.int8]:
    """(n, s) targets on the panel's calendar: where a symbol has no bar its last one stands."""
    placed = np.zeros(panel.close.shape, dtype=np.int8)
    for column, (one, own) in enumerate(zip(series, targets, strict=True)):
        at = np.searchsorted(one.time, panel.time, side="right") - 1
        placed[:, column] = np.where(at >= 0, own[np.maximum(at, 0)], 0)
    return placed


def _column(series: DatedPrices, at: NDArray[np.int64], name: str, there: NDArray[np.bool_]) -> Floats:
    own: Floats = getattr(series, name)
    stale = np.where(at >= 0, series.close[np.maximum(at, 0)], series.open[0])
    return np.where(there, own[np.maximum(at, 0)], stale)


def _per_year(time: NDArray[np.int64], series: Sequence[DatedPrices]) -> float:
    """Bars of the calendar a year: of one symbol's as it says, scaled by how many more the union has."""
    longest = max(series, key=lambda one: int(one.time[-1] - one.time[0]))
    own, span = len(longest.time) - 1, int(longest.time[-1] - longest.time[0])
    whole = int(time[-1] - time[0])
    if own < 1 or span == 0:
        return longest.per_year
    return float(max(1, round(longest.per_year * ((len(time) - 1) / whole) / (own / span))))
