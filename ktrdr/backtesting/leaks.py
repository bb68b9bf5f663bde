"""The leak check of a simulation: other targets from a bar on, and other prices after it, move nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.prices import Targets
from ktrdr.data.bars import Bars
from ktrdr.data.perturbations import SAME_LENGTH, changed
from ktrdr.domain.leaks import Leak, LeakKind

Equity = NDArray[np.float64]
Simulation = Callable[[Bars, Targets], Equity]


def find_leaks(
    simulation: Simulation,
    bars: Bars,
    targets: Targets,
    segment: tuple[int, int],
    symbol: str,
    at: Sequence[int],
    seed: int,
) -> Iterator[Leak]:
    """Equity up to bar t that moves although only targets from t on, and bars after it, have changed.

    `simulation` gives the equity at the close of each bar of the segment [first, last), of bars (n,)
    and targets (n,). A target is decided at its bar's close and filled at the next open: so that of bar
    t is not in the equity of bar t.
    """
    first, last = segment
    before = simulation(bars, targets)
    for t in at:
        if not first <= t < last - 1:
            continue
        for perturbation in SAME_LENGTH:
            random = np.random.default_rng([seed, t])
            others = targets.copy()
            others[t:] = (targets[t:] + 1 + random.integers(1, 3, targets[t:].shape)) % 3 - 1
            after = simulation(changed(bars, t + 1, perturbation, random), others)
            known = t - first + 1
            wrong = np.flatnonzero(before[:known] != after[:known])
            if len(wrong):
                row = int(wrong[0])
                bar = first + row
                yield Leak(
                    LeakKind.FILL,
                    "equity",
                    symbol,
                    t + 1,
                    perturbation,
                    bar=bar,
                    time=int(bars.time[bar]),
                    before=float(before[row]),
                    after=float(after[row]),
                )
