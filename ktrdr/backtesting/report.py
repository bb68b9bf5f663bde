"""What a person and the tear sheet read of a backtest: plain JSON, the same bytes for the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ktrdr.backtesting.curves import Candles, Curves, curves, iso_texts
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.periods import monthly_returns, yearly_returns
from ktrdr.backtesting.portfolio import SimulationState, Trade
from ktrdr.backtesting.prices import Panel
from ktrdr.backtesting.rules import Rules
from ktrdr.backtesting.sampling import Chart, aggregated, kept_points
from ktrdr.domain.market import TIMEFRAME_SECONDS

SCHEMA = 1


def report(
    result: SimulationState,
    bars: Candles,
    symbols: Sequence[str],
    rules: Rules,
    per_year: float,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The finished simulation as JSON: no NaN, times in seconds UTC or ISO 8601, fractions, money.

    `bars` are those that were simulated, of one symbol or a `Panel` of several, and `symbols` their
    names in order. `about` joins `meta`: what only the caller knows, such as the segment or the
    operation. The series have at most 5,000 points, and so have the candles, which are those of the
    first symbol. Raises ValueError when nothing was simulated or the symbols are not those of the bars.
    """
    columns = 1 if bars.close.ndim == 1 else bars.close.shape[1]
    if len(symbols) != columns:
        raise ValueError(f"{len(symbols)} symbols for the bars of {columns}")
    found = curves(result, bars)
    return {
        "schema": SCHEMA,
        "meta": {**_meta(found, symbols, rules, per_year), **(about or {})},
        "metrics": metrics(result, bars, per_year),
        "trades": trade_rows(result.trade_list(), symbols, bars),
        "series": _series(found),
        "bars": {"symbol": symbols[0], **_lists(aggregated(chart(result, bars)))},
        "monthly": [list(one) for one in monthly_returns(found.time, found.equity, rules.capital)],
        "yearly": [list(one) for one in yearly_returns(found.time, found.equity, rules.capital)],
    }


def trade_rows(trades: Sequence[Trade], symbols: Sequence[str], bars: Candles) -> list[dict[str, Any]]:
    """The trades under the names that users of the popular bots know, in the order of closing.

    `open_date` and `close_date` are when the bars of entry and exit open (ISO 8601, UTC), and
    `trade_duration` is the seconds between. `amount` is in units of the symbol, always above zero;
    `fee` is the money of both sides; `profit_abs` is money and `profit_ratio` a fraction of the equity
    committed, both after all costs.
    """
    begin = bars.time[np.array([one.entry_bar for one in trades], dtype=np.int64)]
    end = bars.time[np.array([one.exit_bar for one in trades], dtype=np.int64)]
    return [
        {
            "pair": symbols[one.symbol],
            "open_date": opened,
            "close_date": closed,
            "open_rate": one.entry_price,
            "close_rate": one.exit_price,
            "amount": abs(one.units),
            "fee": one.fee,
            "profit_abs": one.pnl,
            "profit_ratio": one.return_,
            "trade_duration": seconds,
            "bars": one.exit_bar - one.entry_bar,
            "exit_reason": one.reason,
            "is_short": one.direction < 0,
        }
        for one, opened, closed, seconds in zip(
            trades, iso_texts(begin), iso_texts(end), (end - begin).tolist(), strict=True
        )
    ]


def chart(result: SimulationState, bars: Candles, column: int = 0) -> Chart:
    """The segment's candles of one symbol, its `column` of a `Panel`, where it has bars."""
    stretch = slice(result.first, result.bar)
    prices = [getattr(bars, name)[stretch] for name in ("open", "high", "low", "close")]
    time = bars.time[stretch]
    if bars.close.ndim == 1:
        return Chart(time, *prices)
    there = bars.present[stretch, column] if isinstance(bars, Panel) else np.ones(len(time), dtype=np.bool_)
    return Chart(time[there], *(one[there, column] for one in prices))


def _meta(found: Curves, symbols: Sequence[str], rules: Rules, per_year: float) -> dict[str, Any]:
    first, last = iso_texts(found.time[[0, -1]])
    return {
        "symbols": list(symbols),
        "timeframe": _timeframe(found),
        "first": first,
        "last": last,
        "bars": len(found.time),
        "bars_per_year": per_year,
        "capital": rules.capital,
        "fee": rules.fee,
        "slippage": rules.slippage,
        "rules": asdict(rules),
    }


def _timeframe(found: Curves) -> str | None:
    """The timeframe as the bars lie: that of the shortest step between two. None of a single bar."""
    if len(found.time) < 2:
        return None
    shortest = int(np.min(np.diff(found.time)))
    return next((name for name, seconds in TIMEFRAME_SECONDS.items() if seconds == shortest), None)


def _series(found: Curves) -> dict[str, list[Any]]:
    kept = kept_points(found.drawdown)
    return {name: getattr(found, name)[kept].tolist() for name in ("time", "equity", "benchmark", "drawdown")}


def _lists(candles: Chart) -> dict[str, list[Any]]:
    return {name: getattr(candles, name).tolist() for name in ("time", "open", "high", "low", "close")}
