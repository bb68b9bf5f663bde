"""What a simulation was worth."""

from __future__ import annotations

import math

import numpy as np

from ktrdr.backtesting.portfolio import PNL, SimulationState
from ktrdr.backtesting.prices import Floats, Prices


def strategy_returns(result: SimulationState) -> Floats:
    """(m - 1,) close-to-close returns of m bars; the first bar is flat by construction and left out.

    A ruined account returns nothing, rather than nothing divided by nothing.
    """
    before, after = result.equity[:-1], result.equity[1:]
    returns = np.zeros(len(after))
    np.divide(after - before, before, out=returns, where=before > 0.0)
    return returns


def benchmark_returns(result: SimulationState, bars: Prices) -> Floats:
    """(m - 1,) close-to-close returns of holding the same bars; of several symbols, of having put the
    same amount into each at the first close and kept it."""
    closes = _held(result, bars)
    return np.asarray(closes[1:] / closes[:-1] - 1.0)


def metrics(result: SimulationState, bars: Prices) -> dict[str, float]:
    """Returns and risks as fractions (0.1 is ten per cent), after costs; Sharpe without a risk-free rate.
    Both are of a year of `bars.per_year` bars.

    A strategy that never trades has a Sharpe ratio and a win rate of 0; its `trades` say why.
    """
    if len(result.equity) == 0:
        raise ValueError("nothing was simulated yet: there is nothing to measure")
    returns = strategy_returns(result)
    total = float(result.equity[-1]) / result.capital - 1.0
    worth = np.concatenate([[result.capital], result.equity])
    peaks = np.maximum.accumulate(worth)
    closes = _held(result, bars)
    won = int(np.count_nonzero(result.trades[:, PNL] > 0.0))
    return {
        "total_return": total,
        "annual_return": _annual(total, len(returns), bars.per_year),
        "sharpe": _sharpe(returns, bars.per_year),
        "max_drawdown": float(np.max(1.0 - worth / peaks)),
        "trades": len(result.trades),
        "win_rate": won / len(result.trades) if len(result.trades) else 0.0,
        "exposure": result.bars_in_market / len(result.equity),
        "buy_and_hold_return": float(closes[-1] / closes[0] - 1.0),
    }


def _held(result: SimulationState, bars: Prices) -> Floats:
    """(m,) the worth of the same bars, held."""
    closes = bars.close[result.first : result.bar]
    return closes if closes.ndim == 1 else np.asarray((closes / closes[0]).mean(axis=1))


def _annual(total: float, bars: int, per_year: float) -> float:
    """The yearly rate that compounds to `total`; of so few bars that no float holds it, `total` itself."""
    if bars == 0 or total <= -1.0:
        return total
    exponent = math.log1p(total) * per_year / bars
    return math.expm1(exponent) if exponent < 700.0 else total


def _sharpe(returns: Floats, per_year: float) -> float:
    if len(returns) < 2:
        return 0.0
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / deviation * math.sqrt(per_year) if deviation > 0.0 else 0.0
