"""Made-up prices of one symbol, and cases over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ktrdr.backtesting.rules import Rules

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwoPrices:
    open: Floats
    close: Floats
    per_year: float = 252.0

    @property
    def high(self) -> Floats:
        return np.maximum(self.open, self.close)

    @property
    def low(self) -> Floats:
        return np.minimum(self.open, self.close)


@dataclass(frozen=True)
class Case:
    bars: TwoPrices
    targets: NDArray[np.int8]
    first: int
    last: int
    rules: Rules


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
    rules = Rules(fee=draw(st.sampled_from([0.0, 0.0005, 0.0015, 0.1])))
    bars = TwoPrices(np.array(opens), np.array(closes))
    return Case(bars, np.array(targets, dtype=np.int8), first, last, rules)
