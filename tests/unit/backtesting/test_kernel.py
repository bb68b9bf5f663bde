from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from ktrdr.backtesting.kernel import run, simulate
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.rules import Rules

from .market import Case, TwoPrices, cases, random_bars, random_targets
from .twin import PortfolioCase, Twin, portfolios

FREE = Rules()
GOLDEN = "92fbd524c43a045aee18168ed18c1ccda099dbefa198adeff949b3b25d0adf75"
FIRST_COLUMNS = [1, 2, 3, 4, 5, 6, 8, 9]  # what a trade was in the first kernel


def whole(case: Case) -> SimulationState:
    return simulate(case.bars, case.targets, case.first, case.last, case.rules)


def whole_portfolio(case: PortfolioCase) -> SimulationState:
    return simulate(case.panel, case.targets, case.first, case.last, case.rules)


@settings(deadline=None, max_examples=600)
@given(portfolios())
def test_the_compiled_loop_agrees_bit_by_bit_with_plain_python(case: PortfolioCase) -> None:
    """Equity and trades of the kernel are those of a second, independent implementation, on any rules."""
    result, expected = whole_portfolio(case), Twin(case).run()
    trades = [tuple(vars(trade).values()) for trade in result.trade_list()]
    assert trades == expected.trades
    assert result.equity.tolist() == expected.equity
    assert (result.bars_in_market, result.ruined) == (expected.in_market, expected.ruined)
    assert result.held == 0


@settings(deadline=None, max_examples=300)
@given(portfolios(), st.data())
def test_a_simulation_resumed_at_any_bar_is_the_uninterrupted_one(
    case: PortfolioCase, data: st.DataObject
) -> None:
    """Stopping anywhere, writing the state down and going on changes no bit."""
    state = SimulationState.start(case.first, case.rules, case.targets.shape[1])
    while state.bar < case.last:
        chunk = data.draw(st.integers(1, case.last - case.first))
        state = run(case.panel, case.targets, case.first, case.last, case.rules, state, chunk)
        state = SimulationState.from_bytes(state.to_bytes())
    assert state.to_bytes() == whole_portfolio(case).to_bytes()


def test_one_symbol_without_stops_trades_as_it_always_did() -> None:
    """All in, long and short, at four costs: the bits are those of the first kernel of this project."""
    seen = hashlib.sha256()
    for seed in range(8):
        bars = random_bars(5000, seed, deviation=0.03 if seed % 2 else 0.01)
        rules = Rules(fee=[0.0, 0.0005, 0.0015, 0.01][seed % 4])
        result = simulate(bars, random_targets(5000, seed + 100), 17, 4900, rules)
        seen.update(result.equity.tobytes())
        seen.update(np.ascontiguousarray(result.trades[:, FIRST_COLUMNS]).tobytes())
    assert seen.hexdigest() == GOLDEN


def test_every_single_bar_of_a_long_run_is_a_place_to_resume() -> None:
    """One bar at a time gives what all at once gives."""
    bars, targets, rules = random_bars(1500, 1), random_targets(1500, 2), Rules(fee=0.0015)
    state = SimulationState.start(40, rules)
    while state.bar < 1480:
        state = run(bars, targets, 40, 1480, rules, state, 1)
    assert state.to_bytes() == simulate(bars, targets, 40, 1480, rules).to_bytes()


@settings(deadline=None, max_examples=100)
@given(cases(), st.data())
def test_the_future_changes_nothing_in_the_past(case: Case, data: st.DataObject) -> None:
    """Equity up to a bar is the same whatever prices and targets come after it."""
    cut = data.draw(st.integers(case.first, case.last - 1))
    opens, closes, targets = case.bars.open.copy(), case.bars.close.copy(), case.targets.copy()
    opens[cut + 1 :] *= 3.0
    closes[cut + 1 :] /= 2.0
    targets[cut:] = -targets[cut:]
    other = simulate(TwoPrices(opens, closes), targets, case.first, case.last, case.rules)
    seen = cut - case.first + (1 if cut < case.last - 1 else 0)
    assert other.equity[:seen].tolist() == whole(case).equity[:seen].tolist()


def test_a_decision_is_filled_at_the_next_open() -> None:
    """Long at close 1, flat at close 3: in at open 2, out at open 4."""
    bars = TwoPrices(np.array([10.0, 11, 20, 21, 30, 31]), np.array([10.0, 11, 22, 23, 33, 34]))
    result = simulate(bars, np.array([0, 1, 1, 0, 0, 0], dtype=np.int8), 0, 6, FREE)
    (trade,) = result.trade_list()
    assert (trade.entry_bar, trade.entry_price) == (2, 20.0)
    assert (trade.exit_bar, trade.exit_price) == (4, 30.0)
    assert trade.return_ == pytest.approx(0.5)
    assert result.equity == pytest.approx(FREE.capital * np.array([1.0, 1.0, 1.1, 1.15, 1.5, 1.5]))


def test_a_segment_begins_flat_and_settles_at_its_last_close() -> None:
    """What was decided before the segment is not acted on; what is open at its end is closed."""
    bars = TwoPrices(np.full(5, 100.0), np.array([100.0, 100, 100, 100, 50]))
    result = simulate(bars, np.array([1, -1, -1, -1, -1], dtype=np.int8), 1, 5, FREE)
    (trade,) = result.trade_list()
    assert (trade.entry_bar, trade.exit_bar, trade.direction) == (2, 4, -1)
    assert result.equity[-1] == pytest.approx(FREE.capital * 1.5)


def test_costs_are_paid_on_both_ways() -> None:
    """A round trip at an unmoved price loses about the round-trip costs."""
    flat = TwoPrices(np.full(6, 50.0), np.full(6, 50.0))
    result = simulate(flat, np.array([0, 1, 1, 0, 0, 0], dtype=np.int8), 0, 6, Rules(fee=0.002))
    assert result.trade_list()[0].return_ == pytest.approx((1 - 0.002) / (1 + 0.002) - 1)
    assert result.cash == result.equity[-1]


def test_a_short_that_lost_everything_stays_out() -> None:
    """Losses end at nothing, and nothing is traded afterwards."""
    bars = TwoPrices(np.array([10.0, 10, 10, 10, 10]), np.array([10.0, 10, 40, 10, 10]))
    result = simulate(bars, np.full(5, -1, dtype=np.int8), 0, 5, FREE)
    assert result.ruined
    assert len(result.trades) == 1
    assert result.equity[-1] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.full(9, 1, dtype=np.int8)}, "not the same bars"),
        ({"targets": np.full(10, 2, dtype=np.int8)}, "not all -1, 0 or 1"),
        ({"last": 11}, "does not lie in 10 bars"),
        ({"first": 3, "last": 3}, "does not lie in 10 bars"),
        ({"state": SimulationState.start(2)}, "does not belong"),
        ({"bars": TwoPrices(np.full(10, 1.0), np.full(10, np.nan))}, "close of bar 0 is nan"),
        ({"bars": TwoPrices(np.full(10, -1.0), np.full(10, 1.0))}, "open of bar 0 is -1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change: dict[str, Any], message: str) -> None:
    """Each refusal says what is wrong and where."""
    given_: dict[str, Any] = {
        "bars": TwoPrices(np.full(10, 1.0), np.full(10, 1.0)),
        "targets": np.zeros(10, dtype=np.int8),
        "first": 0,
        "last": 10,
        "rules": FREE,
        "state": SimulationState.start(0),
    }
    with pytest.raises(ValueError, match=message):
        run(**{**given_, **change})


@pytest.mark.parametrize("broken", ["trades", "positions", "account", "bar", None])
def test_a_state_that_is_not_one_is_refused(broken: str | None) -> None:
    """A checkpoint with a wrong or missing part raises, rather than going on from zeros."""
    kept = SimulationState.start(0).to_bytes()
    if broken is None:
        with pytest.raises(ValueError, match="not a simulation state"):
            SimulationState.from_bytes(kept[:-9])
        return
    arrays = load(kept)
    with pytest.raises(ValueError, match=f"without '{broken}'"):
        SimulationState.from_bytes(save({name: one for name, one in arrays.items() if name != broken}))
    if broken != "bar":
        with pytest.raises(ValueError, match=f"whose {broken} have the shape"):
            SimulationState.from_bytes(save({**arrays, broken: np.zeros((2, 3))}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fee": -0.1},
        {"fee": 0.5},
        {"slippage": float("nan")},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"stop_loss": 5.0},
        {"trailing_stop": 0.0},
        {"take_profit": -1.0},
        {"min_separation": -1},
        {"capital": 0.0},
    ],
)
def test_rules_that_are_no_fractions_are_refused(wrong: dict[str, Any]) -> None:
    """A stop-loss of 5 % is 0.05, and the message names what is wrong."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)
