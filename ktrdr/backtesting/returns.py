"""Figures of a series of returns, and of one series beside another.

Returns are fractions of one bar (0.01 is one per cent), shape (n,); a year has `per_year` of them. No
risk-free rate is taken off. A figure whose denominator vanishes is None: it is unknown, not large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np

from ktrdr.backtesting.prices import Floats
from ktrdr.backtesting.sums import sum_of_products

YEAR_SECONDS = 365.25 * 86_400
# Of returns of one bar. What lies below is what rounding leaves of a series that never moves.
STILL = 1e-12
_LARGEST_EXPONENT = 700.0  # of e, before it leaves the floats


class Returns:
    """Returns (n,) that know their mean and their deviation: each is found once, whoever asks.

    Both have the bits of numpy's pairwise sums, which gates and fingerprints of results rest on.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @cached_property
    def deviation(self) -> float | None:
        """Standard deviation (n - 1); None of fewer than two returns and of returns that never differ."""
        if len(self) < 2:
            return None
        deviation = math.sqrt(self.covariance(self))
        return deviation if deviation > STILL else None

    @cached_property
    def downside_deviation(self) -> float:
        """Root of the mean, over all returns, of the squares of those below zero. At least one return."""
        return math.sqrt(_squares_below_zero_compiled(self.values) / len(self))

    def covariance(self, other: Returns) -> float:
        """Sample covariance (n - 1) with as many other returns, at least two.

        Not by a matrix product: how its parts are summed depends on the threads of the library behind it.
        """
        return sum_of_products(self.values, other.values, self.mean, other.mean) / (len(self) - 1)


def _squares_below_zero(values: Floats) -> float:
    total = 0.0
    for value in values:
        total += min(value, 0.0) ** 2
    return total


_squares_below_zero_compiled: Any = numba.njit(cache=True, nogil=True)(_squares_below_zero)


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


def volatility(returns: Returns, per_year: float) -> float | None:
    """Standard deviation (n - 1) of the returns times √per_year: a fraction a year."""
    return None if returns.deviation is None else returns.deviation * math.sqrt(per_year)


def sharpe(returns: Returns, per_year: float) -> float | None:
    """Mean over standard deviation (n - 1) of the returns times √per_year (Sharpe 1994)."""
    return None if returns.deviation is None else returns.mean / returns.deviation * math.sqrt(per_year)


def sortino(returns: Returns, per_year: float) -> float | None:
    """Mean over downside deviation of the returns times √per_year (Sortino and Price 1994), target zero.

    None of fewer than two returns and when none is below zero.
    """
    if len(returns) < 2 or not returns.downside_deviation > STILL:
        return None
    return returns.mean / returns.downside_deviation * math.sqrt(per_year)


def calmar(growth: float | None, max_drawdown: float) -> float | None:
    """CAGR over the maximum drawdown, both fractions (Young 1991), over the whole segment."""
    return growth / max_drawdown if growth is not None and max_drawdown > STILL else None


@dataclass(frozen=True)
class Comparison:
    """A strategy beside its benchmark: `alpha` is a fraction a year, the others have no unit."""

    alpha: float | None = None
    beta: float | None = None
    correlation: float | None = None


def compare(strategy: Returns, benchmark: Returns, per_year: float) -> Comparison:
    """Alpha and beta of the least-squares line strategy = alpha + beta · benchmark (Jensen 1968), the
    alpha of a bar times `per_year`; and Pearson's correlation. Both (n,).

    None of fewer than three returns, and when one of the two never moves.
    """
    mine, theirs = strategy.deviation, benchmark.deviation
    if len(strategy) < 3 or mine is None or theirs is None:
        return Comparison()
    covariance = strategy.covariance(benchmark)
    beta = covariance / theirs**2
    alpha = strategy.mean - beta * benchmark.mean
    correlation = max(-1.0, min(1.0, covariance / (mine * theirs)))
    return Comparison(alpha * per_year, beta, correlation)
