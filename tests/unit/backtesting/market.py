"""Made-up prices, and a second simulation in plain Python that shares no code with the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwoPrices:
    open: Floats
    close: Floats
    per_year: float = 252.0


@dataclass(frozen=True)
class Case:
    bars: TwoPrices
    targets: NDArray[np.int8]
    first: int
    last: int
    round_trip: float


def random_bars(n: int, seed: int, drift: float = 0.0003, deviation: float = 0.01) -> TwoPrices:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(drift, deviation, n)))
    return TwoPrices(close * np.exp(rng.normal(0.0, deviation / 4, n)), close)


def random_targets(n: int, seed: int, keep: float = 0.8) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    targets = np.zeros(n, dtype=np.int8)
    for t in range(1, n):
        targets[t] = targets[t - 1] if rng.random() < keep else rng.integers(-1, 2)
    return targets


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any segment of any bars; wild prices, so that shorts are ruined too."""
    n = draw(st.integers(2, 40))
    price = st.floats(0.5, 500.0)
    opens = draw(st.lists(price, min_size=n, max_size=n))
    closes = draw(st.lists(price, min_size=n, max_size=n))
    targets = draw(st.lists(st.integers(-1, 1), min_size=n, max_size=n))
    first = draw(st.integers(0, n - 1))
    last = draw(st.integers(first + 1, n))
    round_trip = draw(st.sampled_from([0.0, 0.001, 0.003, 0.2]))
    bars = TwoPrices(np.array(opens), np.array(closes))
    return Case(bars, np.array(targets, dtype=np.int8), first, last, round_trip)


@dataclass
class Twin:
    """The rules once more, one bar at a time, in lists and floats."""

    cash: float = 100_000.0
    units: float = 0.0
    entry: tuple[int, float, float] = (0, 0.0, 0.0)
    ruined: bool = False
    held: int = 0
    trades: list[tuple[Any, ...]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)

    def leave(self, bar: int, price: float, one_way: float) -> None:
        amount = self.units * price
        cash = self.cash + amount - one_way * abs(amount)
        if cash <= 0.0:
            self.ruined, cash = True, 0.0
        at, paid, before = self.entry
        side = 1 if self.units > 0 else -1
        self.trades.append((at, bar, side, paid, price, self.units, cash - before, (cash - before) / before))
        self.cash, self.units = cash, 0.0

    def enter(self, bar: int, price: float, side: int, one_way: float) -> None:
        amount = self.cash / (1.0 + one_way)
        self.entry = (bar, price, self.cash)
        self.units = side * amount / price
        self.cash = self.cash - side * amount - one_way * amount

    def open_bar(self, bar: int, price: float, wanted: int, one_way: float) -> None:
        side = (self.units > 0) - (self.units < 0)
        if self.ruined:
            wanted = 0
        if side and (side != wanted or self.cash + self.units * price <= 0.0):
            self.leave(bar, price, one_way)
            side = 0
        if not side and wanted and not self.ruined:
            self.enter(bar, price, wanted, one_way)

    def close_bar(self, bar: int, price: float, final: bool, one_way: float) -> None:
        if self.units:
            self.held += 1
            if final or self.cash + self.units * price <= 0.0:
                self.leave(bar, price, one_way)
        self.equity.append(self.cash + self.units * price)


def twin(case: Case) -> Twin:
    opens, closes = case.bars.open.tolist(), case.bars.close.tolist()
    targets, one_way = case.targets.tolist(), case.round_trip / 2.0
    book = Twin()
    for bar in range(case.first, case.last):
        if bar > case.first:
            book.open_bar(bar, opens[bar], targets[bar - 1], one_way)
        book.close_bar(bar, closes[bar], bar == case.last - 1, one_way)
    return book
