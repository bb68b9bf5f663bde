"""Finished simulations of made-up bars that have times, for what is measured, reported and exported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.prices import Panel, align
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars

from .market import random_bars, random_targets

DAY = 86_400
MONDAY = 14_249 * DAY  # 2009-01-05
COSTLY = Rules(capital=20_000.0, fee=0.0007, slippage=0.0002, stop_loss=0.03, take_profit=0.06)


@dataclass(frozen=True)
class Finished:
    result: SimulationState
    bars: Bars | Panel
    rules: Rules
    symbols: tuple[str, ...] = ("ACME",)


def weekdays(n: int, seed: int = 1) -> Bars:
    """Daily bars from a Monday on, none at weekends."""
    day = np.arange(n)
    made = random_bars(n, seed)
    high, low = np.maximum(made.open, made.close) * 1.004, np.minimum(made.open, made.close) * 0.996
    time = MONDAY + (day + 2 * (day // 5)) * DAY
    return Bars(time.astype(np.int64), made.open, high, low, made.close, np.ones(n))


def finished(n: int = 1200, seed: int = 3, rules: Rules = COSTLY, first: int = 50) -> Finished:
    """One symbol, traded at random from bar `first` on."""
    bars = weekdays(n, seed)
    return Finished(simulate(bars, random_targets(n, seed + 1), first, n, rules), bars, rules)


def idle(n: int = 60) -> Finished:
    """Never traded."""
    bars = weekdays(n)
    return Finished(simulate(bars, np.zeros(n, dtype=np.int8), 0, n, COSTLY), bars, COSTLY)


def portfolio(n: int = 400) -> Finished:
    """Two symbols; the second has no bar in every seventh place."""
    one, other = weekdays(n, 5), weekdays(n, 6)
    there = np.arange(n) % 7 != 3
    thinned = Bars(*(getattr(other, name)[there] for name in Bars.__dataclass_fields__))
    panel = align([one, thinned])
    targets = np.column_stack([random_targets(n, 7), random_targets(n, 8)])
    targets[~panel.present] = 0
    return Finished(simulate(panel, targets, 0, n, COSTLY), panel, COSTLY, ("ACME", "ZINC"))


@st.composite
def anything(draw: st.DrawFn) -> Finished:
    """Any segment of any bars at any times; wild prices, so that accounts are ruined too."""
    n = draw(st.integers(2, 40))
    rows = st.lists(st.floats(0.5, 500.0), min_size=n, max_size=n)
    opens, closes = np.array(draw(rows)), np.array(draw(rows))
    steps = draw(st.lists(st.integers(60, 40 * DAY), min_size=n, max_size=n))
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    bars = Bars(MONDAY + np.cumsum(np.array(steps, dtype=np.int64)), opens, high, low, closes, np.ones(n))
    targets = np.array(draw(st.lists(st.integers(-1, 1), min_size=n, max_size=n)), dtype=np.int8)
    first = draw(st.integers(0, n - 1))
    last = draw(st.integers(first + 1, n))
    rules = Rules(
        fee=draw(st.sampled_from([0.0, 0.001, 0.1])),
        stop_loss=draw(st.sampled_from([None, 0.05])),
        trailing_stop=draw(st.sampled_from([None, 0.1])),
    )
    return Finished(simulate(bars, targets, first, last, rules), bars, rules)
