"""Reports of backtests for tests: the real kernel and the real report, over made-up bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.report import report
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars

DAY = 86_400
MONDAY = 12_422  # 2004-01-05, in days since 1970-01-01


def made_up_bars(
    count: int, seed: int = 7, *, step: int = DAY, drift: float = 0.0004, wild: float = 0.012
) -> Bars:
    """Bars from 2004 on, each opening near the close before; daily ones on weekdays alone."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(drift, wild, count)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, wild / 4, count))
    high = np.maximum(opens, close) * np.exp(np.abs(rng.normal(0.0, wild / 3, count)))
    low = np.minimum(opens, close) * np.exp(-np.abs(rng.normal(0.0, wild / 3, count)))
    numbers = np.arange(count)
    days = MONDAY + numbers // 5 * 7 + numbers % 5
    time = days * DAY if step == DAY else MONDAY * DAY + numbers * step
    return Bars(time.astype(np.int64), opens, high, low, close, np.full(count, 1000.0))


def momentum(bars: Bars, long: int = 60, short: int = 15) -> NDArray[np.int8]:
    """Long above a slow mean, short well below it: entries and exits at plausible places."""
    slow = np.convolve(bars.close, np.ones(long) / long)[: len(bars)]
    fast = np.convolve(bars.close, np.ones(short) / short)[: len(bars)]
    targets = np.where(fast > slow * 1.005, 1, np.where(fast < slow * 0.985, -1, 0))
    targets[:long] = 0
    return targets.astype(np.int8)


def backtest_report(
    bars: Bars,
    targets: NDArray[np.int8] | None = None,
    *,
    symbol: str = "ACME",
    rules: Rules | None = None,
    **about: Any,
) -> dict[str, Any]:
    """What the worker writes of a backtest of all the bars; without targets, of a momentum strategy."""
    terms = rules or Rules(fee=0.001, slippage=0.0005, stop_loss=0.08, trailing_stop=0.12)
    decided = momentum(bars) if targets is None else targets
    result = simulate(bars, decided, 0, len(bars), terms)
    return report(result, bars, [symbol], terms, bars.per_year, about)
