from __future__ import annotations

import math

import empyrical
import numpy as np
import pandas
import pytest

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
from ktrdr.backtesting.significance import alpha_test

RNG = np.random.default_rng(11)
MARKET = RNG.normal(0.0004, 0.012, 900)
RETURNS = 0.4 * MARKET + RNG.normal(0.0003, 0.008, 900)
STILL = np.zeros(20)
# Growth of exactly one per cent a bar, as rounding leaves it.
STEADY = np.diff(1.01 ** np.arange(30)) / 1.01 ** np.arange(29)


@pytest.mark.parametrize("per_year", [252, 8766])
def test_risk_and_reward_are_those_of_an_independent_library(per_year: int) -> None:
    """Volatility, Sharpe and Sortino ratio and the annual return agree with empyrical."""
    series = pandas.Series(RETURNS)
    total = float(np.prod(1.0 + RETURNS)) - 1.0
    ours = (
        volatility(Returns(RETURNS), per_year),
        sharpe(Returns(RETURNS), per_year),
        sortino(Returns(RETURNS), per_year),
        annual_return(total, len(RETURNS), per_year),
    )
    theirs = (
        empyrical.annual_volatility(series, annualization=per_year),
        empyrical.sharpe_ratio(series, annualization=per_year),
        empyrical.sortino_ratio(series, annualization=per_year),
        empyrical.annual_return(series, annualization=per_year),
    )
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_alpha_beta_and_correlation_are_those_of_independent_libraries() -> None:
    """Beta agrees with empyrical, alpha with it (which compounds) and with the exam's regression."""
    found = compare(Returns(RETURNS), Returns(MARKET), 252)
    mine, market = pandas.Series(RETURNS), pandas.Series(MARKET)
    assert found.alpha is not None
    compounded = (1.0 + found.alpha / 252) ** 252 - 1.0
    assert (compounded, found.beta) == pytest.approx(
        tuple(empyrical.alpha_beta(mine, market, annualization=252)), rel=1e-10
    )
    assert found.alpha == pytest.approx(alpha_test(RETURNS, MARKET, per_year=252).alpha_annual, rel=1e-10)
    assert found.correlation == pytest.approx(mine.corr(market), rel=1e-12)


def test_growth_goes_by_the_calendar() -> None:
    """A doubling in two years is 41.4 % a year, whatever the number of bars; Calmar divides it."""
    growth = cagr(1.0, 2 * 365.25 * 86_400)
    assert growth == pytest.approx(math.sqrt(2.0) - 1.0)
    assert calmar(growth, 0.25) == pytest.approx(4.0 * (math.sqrt(2.0) - 1.0))


def test_what_divides_by_nothing_is_unknown() -> None:
    """Constant returns, no fall, no time and a single return give None, and rounding noise is constant."""
    for values in (STILL, STEADY, RETURNS[:1], RETURNS[:0]):
        returns = Returns(values)
        assert (volatility(returns, 252), sharpe(returns, 252), sortino(returns, 252)) == (None, None, None)
    assert sortino(Returns(np.abs(RETURNS)), 252) is None
    assert (cagr(0.1, 0.0), cagr(1.0, 1.0), calmar(None, 0.1), calmar(0.2, 0.0)) == (None,) * 4
    for mine, theirs in ((RETURNS, np.full(900, 0.01)), (STILL, MARKET[:20]), (RETURNS[:2], MARKET[:2])):
        found = compare(Returns(mine), Returns(theirs), 252)
        assert (found.alpha, found.beta, found.correlation) == (None, None, None)


def test_a_ruined_account_shrinks_by_all_of_it() -> None:
    """Nothing left is -100 % a year of any length, not an undefined logarithm."""
    assert (cagr(-1.0, 86_400.0), annual_return(-1.0, 10, 252)) == (-1.0, -1.0)
