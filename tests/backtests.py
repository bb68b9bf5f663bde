"""Reports of backtests for tests: the real kernel over made-up bars."""

from __future__ import annotations

from typing import Any

import numpy as np

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.report import report
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars

DAY = 86_400


def made_up_bars(
    count: int, seed: int = 1, *, step: int = DAY, drift: float = 0.0004, wild: float = 0.012
) -> Bars:
    """Bars of weekdays from 2004 on, opens near the close before."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(drift, wild, count)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, wild / 4, count))
    high = np.maximum(opens, close) * np.exp(np.abs(rng.normal(0.0, wild / 3, count)))
    low = np.minimum(opens, close) * np.exp(-np.abs(rng.normal(0.0, wild / 3, count)))
    if step == DAY:
        days = np.arange(count + count // 2 + 9)
        times = (days[(days % 7) < 5][:count] + 12_422) * DAY  # 2004-01-05 is a Monday
    else:
        times = 12_422 * DAY + np.arange(count) * step
    return Bars(times.astype(np.int64), opens, high, low, close, np.full(count, 1000.0))


def momentum(bars: Bars, long: int = 60, short: int = 15) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Long above a slow mean, short far below it: entries and exits at plausible places."""
    slow = np.convolve(bars.close, np.ones(long) / long)[: len(bars)]
    fast = np.convolve(bars.close, np.ones(short) / short)[: len(bars)]
    targets = np.where(fast > slow * 1.005, 1, np.where(fast < slow * 0.985, -1, 0))
    targets[:long] = 0
    return targets.astype(np.int8)


def report_of(
    bars: Bars, targets: Any, *, round_trip: float = 0.002, symbol: str = "ACME", **about: Any
) -> dict[str, Any]:
    rules = Rules(fee=round_trip / 2.0)
    result = simulate(bars, targets, 0, len(bars), rules)
    return report(result, bars, [symbol], rules, bars.per_year, {"timeframe": "1d", **about})
