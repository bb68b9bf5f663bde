from __future__ import annotations

import json

import numpy as np
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.rules import Rules
from ktrdr.backtesting.significance import AlphaTest, alpha_test, exam, power_report, vetoes
from ktrdr.domain.market import opening_level

from .market import TwoPrices, random_bars, random_targets

YEARS_5 = 1260


def returns(seed: int, alpha_daily: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    benchmark = rng.normal(0.0004, 0.011, YEARS_5)
    return alpha_daily + 0.4 * benchmark + rng.normal(0.0, 0.008, YEARS_5), benchmark


def newey_west_by_hand(y: NDArray[np.float64], x: NDArray[np.float64], lags: int) -> tuple[float, float]:
    """Alpha and its standard error, from the formula in Newey and West (1987)."""
    design = np.column_stack([np.ones(len(x)), x])
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ design.T @ y
    scores = design * (y - design @ coefficients)[:, None]
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lags + 1)) * (cross + cross.T)
    covariance = bread @ meat @ bread * len(y) / (len(y) - 2)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


@pytest.mark.parametrize("alpha_daily", [0.0, 0.001, -0.001])
def test_the_test_is_ols_with_newey_west_errors(alpha_daily: float) -> None:
    """It agrees with the formula written out, and with statsmodels asked in another way."""
    strategy, benchmark = returns(7, alpha_daily)
    found = alpha_test(strategy, benchmark)
    alpha, error = newey_west_by_hand(strategy, benchmark, 10)
    assert found.alpha_annual == pytest.approx(alpha * 252)
    assert found.t_value == pytest.approx(alpha / error)
    plain = sm.OLS(strategy, sm.add_constant(benchmark)).fit()
    asked = plain.get_robustcov_results("HAC", maxlags=10, use_correction=True, use_t=True)
    above = float(asked.t_test([1.0, 0.0]).pvalue) / 2
    assert found.p_value == pytest.approx(above if found.t_value > 0 else 1 - above)
    assert found.beta == pytest.approx(0.4, abs=0.05)


def test_planted_alpha_is_found() -> None:
    """Twenty-five per cent a year beside eight daily tenths of a per cent of noise passes the first level."""
    strategy, benchmark = returns(8, 0.001)
    found = alpha_test(strategy, benchmark)
    assert found.alpha_annual == pytest.approx(0.252, abs=0.12)
    assert found.p_value < opening_level(1)


def test_negative_alpha_is_not_significant() -> None:
    """One-sided: losing reliably proves nothing."""
    assert alpha_test(*returns(8, -0.001)).p_value > 0.99


def test_noise_passes_about_as_often_as_the_level_says() -> None:
    """Of 600 strategies without alpha, about one in twenty is below 0.05."""
    passed = sum(alpha_test(*returns(seed)).p_value < 0.05 for seed in range(600))
    assert 15 <= passed <= 50


def test_trading_on_noise_is_not_significant_after_costs() -> None:
    """Random decisions on random prices: no alpha to speak of in any of twenty seeds, and the vetoes hold."""
    for seed in range(20):
        bars, targets = random_bars(YEARS_5, seed), random_targets(YEARS_5, seed + 100)
        result = simulate(bars, targets, 0, YEARS_5, Rules(fee=0.0015))
        answer = exam(result, bars, targets, YEARS_5, Rules(fee=0.0015), opening_level(1))
        assert not (answer["significant"] and answer["vetoes"]["passed"])


@pytest.mark.parametrize(
    ("strategy", "benchmark", "problem"),
    [
        (np.zeros(20), np.ones(20), "too few"),
        (np.random.default_rng(0).normal(size=200), np.full(200, 0.01), "never moves"),
        (np.zeros(200), np.random.default_rng(0).normal(size=200), "exact multiple"),
    ],
)
def test_what_cannot_be_tested_never_passes(
    strategy: NDArray[np.float64], benchmark: NDArray[np.float64], problem: str
) -> None:
    """No noise or too little data: p is 1 and the reason is given."""
    found = alpha_test(strategy, benchmark)
    assert found.p_value == 1.0
    assert problem in (found.problem or "")


def test_broken_returns_are_an_error() -> None:
    """A number that is not finite, or two lengths, is a fault and no result."""
    noise = np.random.default_rng(0).normal(size=100)
    with pytest.raises(ValueError, match="not finite"):
        alpha_test(np.where(noise > 2, np.nan, noise), noise)
    with pytest.raises(ValueError, match="against"):
        alpha_test(noise, noise[1:])


def seeing(bars: TwoPrices, ahead: int) -> NDArray[np.int8]:
    """Decides by the open-to-open move that begins `ahead` opens later: cheats, so that alpha is sure."""
    moves = np.zeros(len(bars.open))
    moves[: -ahead - 1] = bars.open[ahead + 1 :] - bars.open[ahead:-1]
    return np.sign(moves).astype(np.int8)


def test_the_vetoes_tell_costs_and_lag_apart() -> None:
    """An oracle of the next move lives by its timing; one of the move after it does better when late."""
    bars = random_bars(800, 9)
    next_move = vetoes(bars, seeing(bars, 1), 0, 800, Rules(fee=0.0005))
    assert next_move.alpha_costs_doubled > 0.0
    assert not next_move.alpha_one_bar_late > 0.0
    assert not next_move.passed
    assert "one bar later" in next_move.reasons[0]
    assert vetoes(bars, seeing(bars, 2), 0, 800, Rules(fee=5e-05)).alpha_one_bar_late > 0.0


def test_one_bar_late_is_the_same_decisions_shifted_and_flat_before_them() -> None:
    """The lagged alpha is that of targets moved by one bar, with nothing decided at the first."""
    bars, targets = random_bars(300, 12), random_targets(300, 13)
    targets[50] = 1
    late = np.concatenate([[0], targets[:-1]]).astype(np.int8)
    late[50] = 0
    expected = exam(
        simulate(bars, late, 50, 300, Rules(fee=0.0005)), bars, late, 300, Rules(fee=0.0005), 0.03
    )
    found = vetoes(bars, targets, 50, 300, Rules(fee=0.0005))
    assert found.alpha_one_bar_late == expected["alpha_annual"]


def test_significant_means_below_the_level() -> None:
    """The exam's own p-value as the level is not passed; the next number above it is."""
    bars = random_bars(800, 14)
    targets = np.where(random_targets(800, 15, 0.5) > 0, seeing(bars, 1), 0).astype(np.int8)
    result = simulate(bars, targets, 0, 800, Rules(fee=0.01))
    p_value = exam(result, bars, targets, 800, Rules(fee=0.01), 0.03)["p_value"]
    assert 0.0 < p_value < 1.0
    for level, significant in ((p_value, False), (float(np.nextafter(p_value, 1.0)), True)):
        assert exam(result, bars, targets, 800, Rules(fee=0.01), level)["significant"] is significant


def test_costs_alone_can_veto() -> None:
    """An edge that pays its costs once, but not twice."""
    bars = random_bars(800, 9)
    targets = seeing(bars, 1)
    edge = next(
        cost / 1000
        for cost in range(1, 60)
        if vetoes(bars, targets, 0, 800, Rules(fee=cost / 2000)).alpha_costs_doubled <= 0.0
    )
    result = simulate(bars, targets, 0, 800, Rules(fee=edge / 2))
    answer = exam(result, bars, targets, 800, Rules(fee=edge / 2), 0.03)
    assert answer["alpha_annual"] > 0.0
    assert "costs doubled" in answer["vetoes"]["reasons"][0]


def test_the_exam_does_not_change_the_targets() -> None:
    """The lagged copy is a copy; the answer is JSON without NaN."""
    bars, targets = random_bars(400, 10), random_targets(400, 11)
    before = targets.tobytes()
    result = simulate(bars, targets, 100, 400, Rules(fee=0.0015))
    json.dumps(exam(result, bars, targets, 400, Rules(fee=0.0015), 0.03), allow_nan=False)
    assert targets.tobytes() == before


def test_an_unfinished_simulation_has_no_exam() -> None:
    """Half the holdout is not the holdout."""
    bars, targets = random_bars(400, 10), random_targets(400, 11)
    result = simulate(bars, targets, 0, 200, Rules(fee=0.0015))
    with pytest.raises(ValueError, match="end of its segment"):
        exam(result, bars, targets, 400, Rules(fee=0.0015), 0.03)


def test_five_years_need_a_sharpe_ratio_of_about_a_quarter_above_one() -> None:
    """What the design document promises to tell users; and ten seen years show what five cannot."""
    report = power_report(AlphaTest(0.1, 1.0, 0.16, YEARS_5), opening_level(1))
    assert report.sharpe_needed == pytest.approx(1.22, abs=0.04)
    assert report.years == 5.0
    assert report.minimum_track_record_years == pytest.approx(5 * 1.875**2, rel=0.01)


def test_power_is_what_it_says() -> None:
    """With the ratio the report asks for, about four of five simulated track records are significant."""
    level = opening_level(1)
    needed = power_report(AlphaTest(0.0, 0.0, 0.5, YEARS_5), level).sharpe_needed
    assert needed is not None
    daily = needed * 0.008 / np.sqrt(252)
    found = sum(alpha_test(*returns(seed, daily)).p_value < level for seed in range(300))
    assert 0.72 <= found / 300 <= 0.88


def test_without_alpha_no_track_record_is_long_enough() -> None:
    """None, not infinity: the answer is JSON."""
    report = power_report(AlphaTest(-0.1, -1.0, 0.84, YEARS_5), 0.03)
    assert report.minimum_track_record_years is None
    assert power_report(AlphaTest(0.0, 0.0, 1.0, 0), 0.03).sharpe_needed is None
