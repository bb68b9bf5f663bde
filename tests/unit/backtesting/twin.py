"""The simulation once more, in lists and floats, from its description and not from its code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ktrdr.backtesting.prices import Panel
from ktrdr.backtesting.rules import Rules


@dataclass(frozen=True)
class PortfolioCase:
    """Several symbols with holes, on any rules."""

    panel: Panel
    targets: NDArray[np.int8]
    first: int
    last: int
    rules: Rules


@dataclass
class Holding:
    """What is known of one symbol; `side` 0 is flat."""

    side: int = 0
    units: float = 0.0
    beside: float = 0.0
    entered: int = -1
    paid: float = 0.0
    committed: float = 0.0
    entry_fee: float = 0.0
    best: float = 0.0
    shut: int = 0
    wait: int = 0


@dataclass
class Twin:
    case: PortfolioCase
    cash: float = 0.0
    ruined: bool = False
    in_market: int = 0
    trades: list[tuple[Any, ...]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    book: list[Holding] = field(default_factory=list)

    def run(self) -> Twin:
        case = self.case
        self.cash = case.rules.capital
        self.book = [Holding() for _ in range(case.targets.shape[1])]
        for bar in range(case.first, case.last):
            if bar > case.first and not self.ruined:
                self.at_open(bar)
            self.in_market += any(one.side for one in self.book)
            for symbol in self.there(bar):
                self.within(bar, symbol)
            self.at_close(bar)
        return self

    def there(self, bar: int) -> list[int]:
        return [s for s in range(len(self.book)) if self.case.panel.present[bar, s]]

    def worth(self, prices: list[float]) -> float:
        total = self.cash
        for one, price in zip(self.book, prices, strict=True):
            if one.side:
                total = total + (one.beside + one.units * price)
        return total

    def wanted(self, bar: int, symbol: int) -> int:
        found = int(self.case.targets[bar - 1, symbol])
        return 0 if found < 0 and not self.case.rules.shorts else found

    def at_open(self, bar: int) -> None:
        prices = self.case.panel.open[bar].tolist()
        if any(one.side for one in self.book) and self.worth(prices) <= 0.0:
            self.lose(bar, prices)
            return
        for symbol in self.there(bar):
            one, wanted = self.book[symbol], self.wanted(bar, symbol)
            one.wait = max(0, one.wait - 1)
            if one.shut != wanted:
                one.shut = 0
            if one.side and one.side != wanted:
                self.leave(bar, symbol, prices[symbol], "signal")
        if self.ruined:
            return
        rules, equity = self.case.rules, self.worth(prices)
        for symbol in self.there(bar):
            one, wanted = self.book[symbol], self.wanted(bar, symbol)
            budget = min(equity / len(self.book) * rules.fraction, self.cash)
            if not one.side and wanted and not one.shut and not one.wait and budget > 0.0:
                self.enter(bar, symbol, prices[symbol], wanted, budget)

    def enter(self, bar: int, symbol: int, price: float, side: int, budget: float) -> None:
        rules = self.case.rules
        amount = budget / (1.0 + rules.fee)
        paid = price * (1.0 + side * rules.slippage)
        self.book[symbol] = Holding(
            side=side,
            units=side * amount / paid,
            beside=budget - side * amount - rules.fee * amount,
            entered=bar,
            paid=paid,
            committed=budget,
            entry_fee=rules.fee * amount,
            best=paid,
            wait=rules.min_separation,
        )
        self.cash -= budget

    def leave(self, bar: int, symbol: int, price: float, reason: str) -> None:
        rules, one = self.case.rules, self.book[symbol]
        fill = price * (1.0 - one.side * rules.slippage)
        amount = one.units * fill
        fee = rules.fee * abs(amount)
        left = one.beside + amount - fee
        others = any(other.side for other in self.book if other is not one)
        if not others and self.cash + left <= 0.0:
            left, self.ruined = -self.cash, True
        self.cash += left
        pnl = left - one.committed
        prices = (one.paid, fill, one.units)
        earned = (one.entry_fee + fee, pnl, pnl / one.committed)
        self.trades.append((symbol, one.entered, bar, one.side, *prices, *earned, reason))
        stopped = reason in ("stop_loss", "take_profit", "trailing_stop")
        self.book[symbol] = Holding(shut=one.side if stopped else one.shut, wait=one.wait)

    def within(self, bar: int, symbol: int) -> None:
        panel, rules, one = self.case.panel, self.case.rules, self.book[symbol]
        opened, high, low = (float(x[bar, symbol]) for x in (panel.open, panel.high, panel.low))
        if one.side > 0:
            stops = []
            if rules.stop_loss is not None:
                stops.append((one.paid * (1.0 - rules.stop_loss), "stop_loss"))
            if rules.trailing_stop is not None:
                stops.append((one.best * (1.0 - rules.trailing_stop), "trailing_stop"))
            stop, why = max(stops, key=lambda level: level[0], default=(0.0, ""))
            profit = float("inf") if rules.take_profit is None else one.paid * (1.0 + rules.take_profit)
            if opened <= stop:
                self.leave(bar, symbol, opened, why)
            elif opened >= profit:
                self.leave(bar, symbol, opened, "take_profit")
            elif low <= stop:
                self.leave(bar, symbol, stop, why)
            elif high >= profit:
                self.leave(bar, symbol, profit, "take_profit")
            else:
                one.best = max(one.best, high)
        elif one.side < 0:
            stops = []
            if rules.stop_loss is not None:
                stops.append((one.paid * (1.0 + rules.stop_loss), "stop_loss"))
            if rules.trailing_stop is not None:
                stops.append((one.best * (1.0 + rules.trailing_stop), "trailing_stop"))
            stop, why = min(stops, key=lambda level: level[0], default=(float("inf"), ""))
            profit = 0.0 if rules.take_profit is None else one.paid * (1.0 - rules.take_profit)
            if opened >= stop:
                self.leave(bar, symbol, opened, why)
            elif opened <= profit:
                self.leave(bar, symbol, opened, "take_profit")
            elif high >= stop:
                self.leave(bar, symbol, stop, why)
            elif low <= profit:
                self.leave(bar, symbol, profit, "take_profit")
            else:
                one.best = min(one.best, low)

    def at_close(self, bar: int) -> None:
        prices = self.case.panel.close[bar].tolist()
        held = any(one.side for one in self.book)
        if held and self.worth(prices) <= 0.0:
            self.lose(bar, prices)
        elif held and bar == self.case.last - 1:
            self.leave_all(bar, prices, "end")
        self.equity.append(self.worth(prices))

    def leave_all(self, bar: int, prices: list[float], reason: str) -> None:
        for symbol, one in enumerate(self.book):
            if one.side:
                self.leave(bar, symbol, prices[symbol], reason)

    def lose(self, bar: int, prices: list[float]) -> None:
        self.leave_all(bar, prices, "ruined")
        self.cash, self.ruined = 0.0, True


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Costs, sizes and stops of every size, each of them perhaps not there."""
    share = st.sampled_from([None, 0.01, 0.05, 0.2, 0.7])
    return Rules(
        capital=draw(st.sampled_from([100_000.0, 37.5])),
        fee=draw(st.sampled_from([0.0, 0.001, 0.1])),
        slippage=draw(st.sampled_from([0.0, 0.0005, 0.06])),
        fraction=draw(st.sampled_from([1.0, 0.5, 0.1])),
        stop_loss=draw(share),
        take_profit=draw(st.sampled_from([None, 0.01, 0.05, 0.5, 2.0])),
        trailing_stop=draw(share),
        min_separation=draw(st.sampled_from([0, 0, 2, 5])),
        shorts=draw(st.booleans()),
    )


@st.composite
def portfolios(draw: st.DrawFn) -> PortfolioCase:
    """Any segment of wild, calm or jumping prices; targets that stay a while, as signals do."""
    n, symbols = draw(st.integers(2, 60)), draw(st.sampled_from([1, 1, 2, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    move = draw(st.sampled_from([0.002, 0.02, 0.3]))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, move, (n, symbols)), axis=0))
    gap = np.where(rng.random((n, symbols)) < 0.2, rng.normal(0.0, 3.0 * move, (n, symbols)), 0.0)
    opens = np.vstack([close[:1], close[:-1]]) * np.exp(gap)
    high = np.maximum(opens, close) * np.exp(np.abs(rng.normal(0.0, move, (n, symbols))))
    low = np.minimum(opens, close) * np.exp(-np.abs(rng.normal(0.0, move, (n, symbols))))
    present = rng.random((n, symbols)) < draw(st.sampled_from([1.0, 0.8, 0.4]))
    for bar in range(n):  # a price that nobody quoted is the last close
        for gone in np.flatnonzero(~present[bar]):
            stale = close[bar - 1, gone] if bar else opens[0, gone]
            opens[bar, gone] = high[bar, gone] = low[bar, gone] = close[bar, gone] = stale
    stay = draw(st.sampled_from([0.0, 0.7, 0.95]))
    targets = rng.integers(-1, 2, (n, symbols)).astype(np.int8)
    for bar in range(1, n):
        same = rng.random(symbols) < stay
        targets[bar] = np.where(same, targets[bar - 1], targets[bar])
    first = draw(st.integers(0, n - 1))
    last = draw(st.integers(first + 1, n))
    panel = Panel(np.arange(n, dtype=np.int64), opens, high, low, close, present, 252.0)
    return PortfolioCase(panel, targets, first, last, draw(rule_sets()))
