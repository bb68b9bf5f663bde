from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import empyrical
import numpy as np
import pandas
import pytest
from hypothesis import given, settings

from ktrdr.backtesting.curves import benchmark_returns, strategy_returns
from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.portfolio import PNL, RETURN, SimulationState
from ktrdr.backtesting.prices import align
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars

from .market import random_targets
from .simulations import Finished, anything, finished, idle, portfolio, weekdays

# Measured with the first metrics, before there were others.
FIRST = {
    "total_return": -0.2229944210169269,
    "annual_return": -0.05621227529581384,
    "sharpe": -0.34986339765842345,
    "max_drawdown": 0.42016220834401174,
    "trades": 97,
    "win_rate": 0.4948453608247423,
    "exposure": 0.7209090909090909,
    "buy_and_hold_return": 1.1839237689409123,
}


def test_the_figures_that_gates_read_never_move() -> None:
    """The same bars and decisions give the values that the first version gave, to the bit."""
    bars = weekdays(1200, 3)
    result = simulate(bars, random_targets(1200, 4), 100, 1200, Rules(fee=0.001))
    found = metrics(result, bars, 252.0)
    assert {name: found[name] for name in FIRST} == FIRST


@pytest.mark.parametrize("make", [finished, portfolio])
def test_the_figures_are_those_of_an_independent_library(make: type) -> None:
    """Strategy and buy-and-hold, measured by empyrical from the equity at the end of every bar."""
    case: Finished = make()
    found = metrics(case.result, case.bars, 252.0)
    when = pandas.to_datetime(case.bars.time[case.result.first :], unit="s")
    closes = pandas.DataFrame(case.bars.close[case.result.first :], index=when)
    mine = pandas.Series(case.result.equity, index=when).pct_change().dropna()
    held = (closes / closes.iloc[0]).mean(axis=1).pct_change().dropna()
    years = (when[-1] - when[0]).days / 365.25
    total = case.result.equity[-1] / case.rules.capital - 1
    growth = (1 + total) ** (1 / years) - 1
    expected = {
        "total_return": empyrical.cum_returns_final(mine),
        "annual_return": empyrical.annual_return(mine, annualization=252),
        "cagr": growth,
        "volatility": empyrical.annual_volatility(mine, annualization=252),
        "sharpe": empyrical.sharpe_ratio(mine, annualization=252),
        "sortino": empyrical.sortino_ratio(mine, annualization=252),
        "max_drawdown": -empyrical.max_drawdown(mine),
        "calmar": growth / -empyrical.max_drawdown(mine),
        "beta": empyrical.beta(mine, held),
        "correlation": mine.corr(held),
        "buy_and_hold_return": empyrical.cum_returns_final(held),
        "buy_and_hold_annual_return": empyrical.annual_return(held, annualization=252),
        "buy_and_hold_cagr": (1 + empyrical.cum_returns_final(held)) ** (1 / years) - 1,
        "buy_and_hold_volatility": empyrical.annual_volatility(held, annualization=252),
        "buy_and_hold_sharpe": empyrical.sharpe_ratio(held, annualization=252),
        "buy_and_hold_max_drawdown": -empyrical.max_drawdown(held),
        "bars_per_year": 252.0,
        "capital": 20_000.0,
        "final_equity": case.result.equity[-1],
        "profit": sum(trade.pnl for trade in case.result.trade_list()),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_always_long_without_costs_is_buy_and_hold_from_the_second_open() -> None:
    """The benchmark and a strategy that never leaves differ on the first bar held only."""
    bars = weekdays(300, 5)
    result = simulate(bars, np.ones(300, dtype=np.int8), 0, 300, Rules())
    assert strategy_returns(result)[1:] == pytest.approx(benchmark_returns(result, bars)[1:])
    assert metrics(result, bars)["beta"] == pytest.approx(1.0, abs=0.05)


def test_the_part_of_a_symbol_that_begins_later_waits_as_money() -> None:
    """Half is put into the one symbol at once, half into the other at its first open."""
    one, other = weekdays(40, 5), weekdays(40, 6)
    late = Bars(*(getattr(other, name)[10:] for name in Bars.__dataclass_fields__))
    panel = align([one, late])
    result = simulate(panel, np.zeros((40, 2), dtype=np.int8), 0, 40, Rules())
    expected = (one.close[-1] / one.close[0] + other.close[-1] / other.open[10]) / 2 - 1
    assert metrics(result, panel)["buy_and_hold_return"] == pytest.approx(expected)


def test_a_year_has_as_many_bars_as_the_bars_say() -> None:
    """Without a number of bars a year it is that of the bars' times, and stands in the result."""
    case = finished()
    found = metrics(case.result, case.bars)
    assert found["bars_per_year"] == case.bars.per_year == 261.0
    assert metrics(case.result, case.bars, 4 * 261.0)["volatility"] == pytest.approx(
        2.0 * number(found["volatility"])
    )


def number(value: float | int | str | None) -> float:
    assert isinstance(value, float)
    return value


def test_a_strategy_that_never_trades_says_so() -> None:
    """No trade, no return, no risk: the trades gate has its number, and no ratio is known."""
    case = idle()
    found = metrics(case.result, case.bars)
    assert (found["trades"], found["sharpe"], found["max_drawdown"], found["exposure"]) == (0, 0.0, 0.0, 0.0)
    unknown = {name for name, value in found.items() if value is None}
    assert {"volatility", "sortino", "calmar", "profit_factor", "alpha", "beta", "turnover"} <= unknown


def test_one_bar_has_no_risk_and_no_rate() -> None:
    """A segment of one bar is measured without a number made of nothing."""
    bars = weekdays(3)
    found = metrics(simulate(bars, np.ones(3, dtype=np.int8), 1, 2, Rules()), bars)
    assert [found[name] for name in ("cagr", "volatility", "sortino", "calmar", "alpha")] == [None] * 5
    assert (found["trades"], found["sharpe"], found["total_return"]) == (0, 0.0, 0.0)


@settings(deadline=None, max_examples=200)
@given(anything())
def test_metrics_are_always_finite(case: Finished) -> None:
    """Ruin, a single bar, wild prices: every figure can be written as JSON and is in its range."""
    found = metrics(case.result, case.bars)
    json.dumps(found, allow_nan=False)
    ranges = {
        "max_drawdown": (0.0, 1.0),
        "exposure": (0.0, 1.0),
        "win_rate": (0.0, 1.0),
        "total_return": (-1.0, math.inf),
        "cagr": (-1.0, math.inf),
        "correlation": (-1.0, 1.0),
        "volatility": (0.0, math.inf),
        "profit_factor": (0.0, math.inf),
        "worst_trade": (-1.0, math.inf),
        "max_drawdown_days": (0.0, math.inf),
        "buy_and_hold_max_drawdown": (0.0, 1.0),
    }
    for name, (low, high) in ranges.items():
        value = found[name]
        assert value is None or low <= number(float(value)) <= high, name


@settings(deadline=None, max_examples=50)
@given(anything())
def test_the_names_are_always_all_there(case: Finished) -> None:
    """What is unknown is null and not missing: a reader never asks whether a key exists."""
    whole = finished(100)
    assert list(metrics(case.result, case.bars)) == list(metrics(whole.result, whole.bars))


def test_nothing_simulated_has_no_metrics() -> None:
    """An empty result raises, rather than passing for a poor one."""
    with pytest.raises(ValueError, match="nothing was simulated"):
        metrics(SimulationState.start(0), weekdays(3))


def test_ruin_is_measured() -> None:
    """An account that lost all of its money has lost 100 %, a year as well, and has no recovery."""
    case = finished()
    lost = replace(case.result, equity=np.concatenate([case.result.equity[:-5], np.zeros(5)]))
    found = metrics(lost, case.bars)
    assert (found["total_return"], found["cagr"], found["max_drawdown"]) == (-1.0, -1.0, 1.0)
    assert found["max_drawdown_recovery"] is None
    # Nothing divided by nothing would be no risk at all.
    assert number(found["volatility"]) > 0.4
    assert number(found["sharpe"]) < 0.0


def test_a_trade_that_ends_at_nought_is_no_win() -> None:
    """The win rate counts what was gained after costs."""
    case = finished()
    level = case.result.trades.copy()
    level[:, PNL] = level[:, RETURN] = 0.0
    found = metrics(replace(case.result, trades=level), case.bars)
    assert (found["win_rate"], found["profit_factor"], found["gross_profit"]) == (0.0, None, 0.0)


def test_every_figure_is_explained() -> None:
    """docs/metrics.md names what a result holds, and nothing else."""
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    figures = text.split("## The account")[1].split("## Trades and equity as files")[0]
    rows = [line.split("|")[1] for line in figures.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    case = finished(100)
    assert sorted(named) == sorted(metrics(case.result, case.bars))
