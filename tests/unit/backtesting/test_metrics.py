from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.metrics import benchmark_returns, metrics, strategy_returns
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.rules import Rules

from .market import Case, TwoPrices, cases, random_bars, random_targets


def test_metrics_are_those_of_numpy() -> None:
    """Each figure, computed a second time from the equity curve and the trades."""
    bars, targets = random_bars(1200, 3), random_targets(1200, 4)
    result = simulate(bars, targets, 100, 1200, Rules(fee=0.001))
    found = metrics(result, bars)
    worth = np.insert(result.equity, 0, 100_000.0)
    returns = np.diff(np.log(result.equity))
    simple = np.expm1(returns)
    drawdowns = [1 - worth[t] / worth[: t + 1].max() for t in range(len(worth))]
    assert found["total_return"] == pytest.approx(worth[-1] / worth[0] - 1)
    assert found["annual_return"] == pytest.approx((worth[-1] / worth[0]) ** (252 / 1099) - 1)
    assert found["sharpe"] == pytest.approx(simple.mean() / simple.std(ddof=1) * math.sqrt(252))
    assert found["max_drawdown"] == pytest.approx(max(drawdowns))
    assert found["trades"] == len(result.trade_list())
    assert found["win_rate"] == pytest.approx(np.mean([t.pnl > 0 for t in result.trade_list()]))
    assert found["exposure"] == pytest.approx(np.mean(targets[100:1199] != 0) * 1099 / 1100)
    assert found["buy_and_hold_return"] == pytest.approx(bars.close[-1] / bars.close[100] - 1)


def test_always_long_without_costs_is_buy_and_hold_from_the_second_open() -> None:
    """The benchmark and a strategy that never leaves differ on the first bar held only."""
    bars = random_bars(300, 5)
    result = simulate(bars, np.ones(300, dtype=np.int8), 0, 300, Rules())
    assert strategy_returns(result)[1:] == pytest.approx(benchmark_returns(result, bars)[1:])


def test_a_strategy_that_never_trades_says_so() -> None:
    """No trade, no return, no risk: the trades gate has its number."""
    bars = random_bars(300, 6)
    found = metrics(simulate(bars, np.zeros(300, dtype=np.int8), 0, 300, Rules(fee=0.0015)), bars)
    assert (found["trades"], found["sharpe"], found["max_drawdown"], found["exposure"]) == (0, 0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_metrics_are_always_finite(case: Case) -> None:
    """Ruin, a single bar, wild prices: every figure can be written as JSON and is in its range."""
    result = simulate(case.bars, case.targets, case.first, case.last, case.rules)
    found = metrics(result, case.bars)
    json.dumps(found, allow_nan=False)
    assert 0.0 <= found["max_drawdown"] <= 1.0
    assert 0.0 <= found["exposure"] <= 1.0
    assert found["total_return"] >= -1.0


def test_nothing_simulated_has_no_metrics() -> None:
    """An empty result raises, rather than passing for a poor one."""
    with pytest.raises(ValueError, match="nothing was simulated"):
        metrics(SimulationState.start(0), TwoPrices(np.ones(3), np.ones(3)))
