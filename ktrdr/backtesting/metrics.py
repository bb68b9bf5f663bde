"""What a simulation was worth: every figure of it, with its name."""

from __future__ import annotations

import numpy as np

from ktrdr.backtesting.curves import Candles, benchmark_returns, held_worth, strategy_returns
from ktrdr.backtesting.drawdowns import deepest, drawdown_metrics
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.prices import Floats
from ktrdr.backtesting.returns import (
    Returns,
    annual_return,
    cagr,
    calmar,
    compare,
    sharpe,
    sortino,
    volatility,
)
from ktrdr.backtesting.trades import Figures, TradeTable, trade_metrics


def metrics(result: SimulationState, bars: Candles, per_year: float | None = None) -> Figures:
    """Returns and risks as fractions (0.1 is ten per cent), money in the account's currency, after costs.

    What is of a year is of `bars_per_year` bars: `per_year`, or what the bars say of themselves. Only
    `cagr` goes by the calendar. The formulas and their sources stand in `returns`, `drawdowns` and
    `trades`; there is no risk-free rate. What cannot be known is None: a ratio over nothing, a rate
    of no time, the mean of no trade.

    A strategy that never trades has a Sharpe ratio and a win rate of 0, which gates and older results
    know; its `trades` say why. Raises ValueError when nothing was simulated.
    """
    if len(result.equity) == 0:
        raise ValueError("nothing was simulated yet: there is nothing to measure")
    yearly = bars.per_year if per_year is None else per_year
    time = bars.time[result.first : result.bar]
    trades = TradeTable.of(result.trades, bars.time)
    final = float(result.equity[-1])
    fallen = drawdown_metrics(result.equity, result.capital, time)
    depth = float(fallen["max_drawdown"] or 0.0)
    return {
        "bars_per_year": yearly,
        "capital": result.capital,
        "final_equity": final,
        "profit": final - result.capital,
        **_returns(result, bars, float(time[-1] - time[0]), yearly, depth),
        **fallen,
        "trades": len(trades.pnl),
        "win_rate": int(np.count_nonzero(trades.pnl > 0.0)) / len(trades.pnl) if len(trades.pnl) else 0.0,
        "exposure": result.bars_in_market / len(result.equity),
        **trade_metrics(trades, result.equity, yearly),
    }


def _returns(
    result: SimulationState, bars: Candles, seconds: float, per_year: float, depth: float
) -> Figures:
    mine, theirs = Returns(strategy_returns(result)), Returns(benchmark_returns(result, bars))
    total = float(result.equity[-1]) / result.capital - 1.0
    growth = cagr(total, seconds)
    beside = compare(mine, theirs, per_year)
    return {
        "total_return": total,
        "annual_return": annual_return(total, len(mine), per_year),
        "cagr": growth,
        "volatility": volatility(mine, per_year),
        "sharpe": sharpe(mine, per_year) or 0.0,
        "sortino": sortino(mine, per_year),
        "calmar": calmar(growth, depth),
        **_buy_and_hold(held_worth(result, bars), theirs, seconds, per_year),
        "alpha": beside.alpha,
        "beta": beside.beta,
        "correlation": beside.correlation,
    }


def _buy_and_hold(worth: Floats, returns: Returns, seconds: float, per_year: float) -> Figures:
    total = float(worth[-1] / worth[0]) - 1.0
    fallen = deepest(worth)
    return {
        "buy_and_hold_return": total,
        "buy_and_hold_annual_return": annual_return(total, len(returns), per_year),
        "buy_and_hold_cagr": cagr(total, seconds),
        "buy_and_hold_volatility": volatility(returns, per_year),
        "buy_and_hold_sharpe": sharpe(returns, per_year),
        "buy_and_hold_max_drawdown": fallen.depth if fallen else 0.0,
    }
