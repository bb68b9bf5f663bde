"""Figures of a series of returns, and of one series beside another.

Returns are fractions of one bar (0.01 is one per cent), shape (n,); a year has `per_year` of them. No
risk-free rate is taken off. A figure whose denominator vanishes is None: it is unknown, not large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ktrdr.backtesting.prices import Floats

YEAR_SECONDS = 365.25 * 86_400
# Of returns of one bar. What lies below is what rounding leaves of a series that never moves.
STILL = 1e-12
_LARGEST_EXPONENT = 700.0  # of e, before it leaves the floats


def annual_return(total: float, bars: int, per_year: float) -> float:
    """The yearly rate that compounds to `total` over `bars` returns: (1 + total)^(per_year / bars) - 1.

    Of so few bars that no float holds it, `total` itself.
    """
    if bars == 0 or total <= -1.0:
        return total
    exponent = math.log1p(total) * per_year / bars
    return math.expm1(exponent) if exponent < _LARGEST_EXPONENT else total


def cagr(total: float, seconds: float) -> float | None:
    """The compound annual growth rate by the calendar: (1 + total)^(1 / years) - 1, a year 365.25 days.

    -1 of an account that lost everything; None of no time at all, and of a rate that no float holds.
    """
    if seconds <= 0.0:
        return None
    if total <= -1.0:
        return -1.0
    exponent = math.log1p(total) * YEAR_SECONDS / seconds
    return math.expm1(exponent) if exponent < _LARGEST_EXPONENT else None


def volatility(returns: Floats, per_year: float) -> float | None:
    """Standard deviation (n - 1) of the returns times √per_year: a fraction a year.

    None of fewer than two returns and of returns that never differ.
    """
    deviation = _deviation(returns)
    return None if deviation is None else deviation * math.sqrt(per_year)


def sharpe(returns: Floats, per_year: float) -> float | None:
    """Mean over standard deviation (n - 1) of the returns times √per_year (Sharpe 1994)."""
    deviation = _deviation(returns)
    return None if deviation is None else float(np.mean(returns)) / deviation * math.sqrt(per_year)


def sortino(returns: Floats, per_year: float) -> float | None:
    """Mean over downside deviation of the returns times √per_year (Sortino and Price 1994), target zero.

    The downside deviation is the root of the mean, over all returns, of the squares of those below
    zero. None when no return is below zero.
    """
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * math.sqrt(per_year) if downside > STILL else None


def calmar(growth: float | None, max_drawdown: float) -> float | None:
    """CAGR over the maximum drawdown, both fractions (Young 1991), over the whole segment."""
    return growth / max_drawdown if growth is not None and max_drawdown > STILL else None


@dataclass(frozen=True)
class Comparison:
    """A strategy beside its benchmark: `alpha` is a fraction a year, the others have no unit."""

    alpha: float | None = None
    beta: float | None = None
    correlation: float | None = None


def compare(strategy: Floats, benchmark: Floats, per_year: float) -> Comparison:
    """Alpha and beta of the least-squares line strategy = alpha + beta · benchmark (Jensen 1968), the
    alpha of a bar times `per_year`; and Pearson's correlation. Both (n,).

    None of fewer than three returns, and when one of the two never moves.
    """
    mine, theirs = _deviation(strategy), _deviation(benchmark)
    if len(strategy) < 3 or mine is None or theirs is None:
        return Comparison()
    # Not by a matrix product: how its parts are summed depends on the threads of the library behind it.
    products = (strategy - np.mean(strategy)) * (benchmark - np.mean(benchmark))
    covariance = float(np.sum(products)) / (len(strategy) - 1)
    beta = covariance / theirs**2
    alpha = float(np.mean(strategy)) - beta * float(np.mean(benchmark))
    correlation = max(-1.0, min(1.0, covariance / (mine * theirs)))
    return Comparison(alpha * per_year, beta, correlation)


def _deviation(returns: Floats) -> float | None:
    if len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    return deviation if deviation > STILL else None
