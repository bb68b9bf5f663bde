"""Reports of backtests for tests: the real kernel over made-up bars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.portfolio import INITIAL_CASH, Costs
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


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), tz=UTC).isoformat().replace("+00:00", "Z")


def report_of(
    bars: Bars, targets: Any, *, round_trip: float = 0.002, symbol: str = "ACME", **meta: Any
) -> dict[str, Any]:
    result = simulate(bars, targets, 0, len(bars), Costs(round_trip))
    equity = result.equity
    peaks = np.maximum.accumulate(np.concatenate([[INITIAL_CASH], equity]))[1:]
    held = INITIAL_CASH * bars.close / bars.close[0]
    found: Mapping[str, Any] = metrics(result, bars)
    returns = [one.return_ for one in result.trade_list()]
    trades = [
        {
            "pair": symbol,
            "open_date": iso(bars.time[one.entry_bar]),
            "close_date": iso(bars.time[one.exit_bar]),
            "open_rate": one.entry_price,
            "close_rate": one.exit_price,
            "amount": abs(one.units),
            "fee": abs(one.units) * (one.entry_price + one.exit_price) * round_trip / 2.0,
            "profit_abs": one.pnl,
            "profit_ratio": one.return_,
            "trade_duration": int(bars.time[one.exit_bar] - bars.time[one.entry_bar]),
            "bars": one.exit_bar - one.entry_bar,
            "exit_reason": "signal",
            "is_short": one.direction < 0,
        }
        for one in result.trade_list()
    ]
    kept = sorted({int(one) for one in np.linspace(0, len(bars) - 1, min(len(bars), 5000))})
    size = -(-len(bars) // 5000)
    starts = np.arange(0, len(bars), size)
    return {
        "schema": 1,
        "meta": {
            "symbols": [symbol],
            "timeframe": "1d",
            "first": iso(bars.time[0]),
            "last": iso(bars.time[-1]),
            "bars": len(bars),
            "bars_per_year": bars.per_year,
            "capital": INITIAL_CASH,
            "fee": round_trip / 2,
            "slippage": 0.0,
            "rules": {
                "capital": INITIAL_CASH,
                "fee": round_trip / 2,
                "slippage": 0.0,
                "fraction": 1.0,
                "stop_loss": None,
                "take_profit": None,
                "trailing_stop": None,
                "min_separation": 4,
                "shorts": True,
            },
            **meta,
        },
        "metrics": {
            **found,
            "profit_factor": None,
            "cagr": found["annual_return"],
            "sortino": 1.04,
            "best_trade": max(returns, default=None),
            "worst_trade": min(returns, default=None),
            "max_drawdown_trough": "2009-03-09T00:00:00Z",
            "buy_and_hold_sharpe": 0.41,
            "buy_and_hold_cagr": 0.08,
            "buy_and_hold_max_drawdown": 0.513,
        },
        "trades": trades,
        "series": {
            "time": bars.time[kept].tolist(),
            "equity": equity[kept].tolist(),
            "benchmark": held[kept].tolist(),
            "drawdown": (1.0 - equity / peaks)[kept].tolist(),
        },
        "bars": {
            "symbol": symbol,
            "time": bars.time[starts].tolist(),
            "open": bars.open[starts].tolist(),
            "high": np.maximum.reduceat(bars.high, starts).tolist(),
            "low": np.minimum.reduceat(bars.low, starts).tolist(),
            "close": bars.close[np.minimum(starts + size, len(bars)) - 1].tolist(),
        },
        "monthly": _periods(bars.time, equity, "M"),
        "yearly": [[one[0], one[2]] for one in _periods(bars.time, equity, "Y")],
    }


def _periods(time: Any, equity: Any, unit: str) -> list[list[Any]]:
    periods = time.astype("datetime64[s]").astype(f"datetime64[{unit}]")
    months = periods.astype("datetime64[M]").astype(int)
    last = np.flatnonzero(np.append(np.diff(periods.astype(int)) != 0, True))
    before = np.concatenate([[INITIAL_CASH], equity[last][:-1]])
    return [
        [1970 + int(months[at]) // 12, int(months[at]) % 12 + 1, float(value)]
        for at, value in zip(last, equity[last] / before - 1.0, strict=True)
    ]
