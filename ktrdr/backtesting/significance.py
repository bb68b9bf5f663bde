"""Is there alpha, would it survive worse conditions, and could these data have shown it?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import statsmodels.api as sm  # type: ignore[import-untyped, unused-ignore]

from ktrdr.backtesting.curves import benchmark_returns, strategy_returns
from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.prices import Floats, Panel, Prices, Targets
from ktrdr.backtesting.rules import Rules
from ktrdr.domain.market import TRADING_DAYS

LAGS = 10
POWER = 0.8
_SMALLEST_DEVIATION = 1e-12  # of residuals, as daily returns; below it there is no noise to test against


@dataclass(frozen=True)
class AlphaTest:
    """Alpha against a benchmark. `p_value` is one-sided: small when alpha is above zero.

    `problem` says why nothing could be tested; then the p-value is 1, which no level passes.
    """

    alpha_annual: float
    t_value: float
    p_value: float
    bars: int
    beta: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Vetoes:
    """Alpha (a year) under worse conditions. Each must stay above zero."""

    alpha_costs_doubled: float
    alpha_one_bar_late: float

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        found = []
        if not self.alpha_costs_doubled > 0.0:
            found.append(f"with costs doubled alpha is {self.alpha_costs_doubled:.2%} a year")
        if not self.alpha_one_bar_late > 0.0:
            found.append(f"one bar later alpha is {self.alpha_one_bar_late:.2%} a year")
        return found

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "reasons": self.reasons}


@dataclass(frozen=True)
class PowerReport:
    """What data of this length can show at all.

    `sharpe_needed`: the true yearly Sharpe ratio of alpha that is found in four of five cases;
    None when there are no returns.
    `minimum_track_record_years`: how long the ratio seen here must go on to be significant; None
    when it is not above zero, as no length helps then.
    """

    level: float
    years: float
    sharpe_seen: float
    sharpe_needed: float | None
    minimum_track_record_years: float | None


def alpha_test(
    strategy: Floats, benchmark: Floats, lags: int = LAGS, *, per_year: float = TRADING_DAYS
) -> AlphaTest:
    """OLS of strategy returns on benchmark returns, both (n,); the intercept is alpha.

    Standard errors: Newey and West (1987) with `lags` lags and the small-sample correction, against
    a t distribution. Raises ValueError when the two are not of one length or hold a non-finite number.
    """
    n = len(strategy)
    if n != len(benchmark):
        raise ValueError(f"{n} strategy returns against {len(benchmark)} benchmark returns")
    if not (np.isfinite(strategy).all() and np.isfinite(benchmark).all()):
        raise ValueError("returns hold a number that is not finite")
    if n < 2 * lags + 3:
        return _untestable(n, f"{n} returns are too few for {lags} lags")
    if float(np.std(benchmark)) <= _SMALLEST_DEVIATION:
        return _untestable(n, "the benchmark never moves")
    fit = sm.OLS(strategy, np.column_stack([np.ones(n), benchmark])).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True
    )
    alpha, beta = float(fit.params[0]) * per_year, float(fit.params[1])
    if float(np.std(fit.resid)) <= _SMALLEST_DEVIATION:
        problem = "the returns are an exact multiple of the benchmark's"
        return replace(_untestable(n, problem), alpha_annual=alpha, beta=beta)
    t_value, two_sided = float(fit.tvalues[0]), float(fit.pvalues[0])
    if not math.isfinite(t_value):
        return replace(_untestable(n, "the standard error is not a number"), alpha_annual=alpha, beta=beta)
    p_value = two_sided / 2.0 if t_value > 0.0 else 1.0 - two_sided / 2.0
    return AlphaTest(alpha, t_value, p_value, n, beta)


def vetoes(bars: Prices, targets: Targets, first: int, last: int, rules: Rules) -> Vetoes:
    """The same decisions at twice the costs, and the same decisions acted on one bar later."""
    late = _one_bar_late(bars, targets, first, last)
    dear = _alpha_of(simulate(bars, targets, first, last, rules.doubled()), bars)
    slow = _alpha_of(simulate(bars, late, first, last, rules), bars)
    return Vetoes(dear.alpha_annual, slow.alpha_annual)


def power_report(test: AlphaTest, level: float, *, per_year: float = TRADING_DAYS) -> PowerReport:
    """Power of the one-sided test at `level`, normal approximation: t is about Sharpe · √years.

    The track record is Bailey and López de Prado's (2012), for the ratio seen and without their
    correction for skew, which the Newey-West error in `t_value` does not know either.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, not {level}")
    years = test.bars / per_year
    critical, power = NormalDist().inv_cdf(1.0 - level), NormalDist().inv_cdf(POWER)
    seen = test.t_value / math.sqrt(years) if years > 0.0 else 0.0
    return PowerReport(
        level=level,
        years=years,
        sharpe_seen=seen,
        sharpe_needed=(critical + power) / math.sqrt(years) if years > 0.0 else None,
        minimum_track_record_years=(critical / seen) ** 2 if seen > 0.0 else None,
    )


def exam(
    result: SimulationState, bars: Prices, targets: Targets, last: int, rules: Rules, level: float
) -> dict[str, Any]:
    """The holdout's whole answer as JSON: the test, its level, the vetoes and the power it had.

    `result` is the finished simulation of the same targets at the same costs.
    """
    if result.bar != last:
        raise ValueError(f"the simulation stands at bar {result.bar}, not at the end of its segment, {last}")
    test = _alpha_of(result, bars)
    worse = vetoes(bars, targets, result.first, last, rules)
    return {
        **asdict(test),
        "level": level,
        "significant": test.p_value < level,
        "vetoes": worse.to_json(),
        "power": asdict(power_report(test, level, per_year=bars.per_year)),
    }


def _one_bar_late(bars: Prices, targets: Targets, first: int, last: int) -> Targets:
    """Each target of [first, last) at the next bar that its symbol has; the first one is 0."""
    late = targets.copy()
    if not isinstance(bars, Panel):
        late[first + 1 : last] = targets[first : last - 1]
        late[first] = 0
        return late
    rows = np.arange(first, last)
    for symbol, there in enumerate(bars.present[first:last].T):
        own = rows[there]
        before = np.searchsorted(own, rows, side="right") - 2  # the symbol's bar before the one in force
        late[first:last, symbol] = np.where(before >= 0, targets[own[np.maximum(before, 0)], symbol], 0)
    return late


def _alpha_of(result: SimulationState, bars: Prices) -> AlphaTest:
    returns = strategy_returns(result), benchmark_returns(result, bars)
    return alpha_test(*returns, per_year=bars.per_year)


def _untestable(bars: int, problem: str) -> AlphaTest:
    return AlphaTest(alpha_annual=0.0, t_value=0.0, p_value=1.0, bars=bars, problem=problem)
