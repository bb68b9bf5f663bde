from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.backtesting.kernel import run, simulate
from ktrdr.backtesting.portfolio import INITIAL_CASH, Costs, SimulationState

from .market import Case, TwoPrices, cases, random_bars, random_targets, twin

FREE = Costs(0.0)


def whole(case: Case) -> SimulationState:
    return simulate(case.bars, case.targets, case.first, case.last, Costs(case.round_trip))


def through_json(state: SimulationState) -> SimulationState:
    return SimulationState.from_json(json.loads(json.dumps(state.to_json())))


@settings(deadline=None, max_examples=300)
@given(cases())
def test_the_compiled_loop_agrees_bit_by_bit_with_plain_python(case: Case) -> None:
    """Equity and trades of the kernel are those of a second, independent implementation."""
    result, expected = whole(case), twin(case)
    assert result.equity.tolist() == expected.equity
    trades = [tuple(vars(trade).values()) for trade in result.trade_list()]
    assert trades == expected.trades
    assert (result.bars_in_market, result.ruined) == (expected.held, expected.ruined)
    assert result.units == 0.0


@settings(deadline=None, max_examples=200)
@given(cases(), st.data())
def test_a_simulation_resumed_at_any_bar_is_the_uninterrupted_one(case: Case, data: st.DataObject) -> None:
    """Stopping anywhere, writing the state as JSON and going on changes no bit."""
    costs = Costs(case.round_trip)
    state = SimulationState.start(case.first)
    while state.bar < case.last:
        chunk = data.draw(st.integers(1, case.last - case.first))
        state = through_json(run(case.bars, case.targets, case.first, case.last, costs, state, chunk))
    assert state.to_json() == whole(case).to_json()


def test_every_single_bar_of_a_long_run_is_a_place_to_resume() -> None:
    """One bar at a time gives what all at once gives."""
    bars, targets, costs = random_bars(1500, 1), random_targets(1500, 2), Costs(0.003)
    state = SimulationState.start(40)
    while state.bar < 1480:
        state = run(bars, targets, 40, 1480, costs, state, 1)
    assert state.to_json() == simulate(bars, targets, 40, 1480, costs).to_json()


@settings(deadline=None, max_examples=100)
@given(cases(), st.data())
def test_the_future_changes_nothing_in_the_past(case: Case, data: st.DataObject) -> None:
    """Equity up to a bar is the same whatever prices and targets come after it."""
    cut = data.draw(st.integers(case.first, case.last - 1))
    opens, closes, targets = case.bars.open.copy(), case.bars.close.copy(), case.targets.copy()
    opens[cut + 1 :] *= 3.0
    closes[cut + 1 :] /= 2.0
    targets[cut:] = -targets[cut:]
    other = simulate(TwoPrices(opens, closes), targets, case.first, case.last, Costs(case.round_trip))
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
    assert result.equity == pytest.approx(INITIAL_CASH * np.array([1.0, 1.0, 1.1, 1.15, 1.5, 1.5]))


def test_a_segment_begins_flat_and_settles_at_its_last_close() -> None:
    """What was decided before the segment is not acted on; what is open at its end is closed."""
    bars = TwoPrices(np.full(5, 100.0), np.array([100.0, 100, 100, 100, 50]))
    result = simulate(bars, np.array([1, -1, -1, -1, -1], dtype=np.int8), 1, 5, FREE)
    (trade,) = result.trade_list()
    assert (trade.entry_bar, trade.exit_bar, trade.direction) == (2, 4, -1)
    assert result.equity[-1] == pytest.approx(INITIAL_CASH * 1.5)


def test_costs_are_paid_on_both_ways() -> None:
    """A round trip at an unmoved price loses about the round-trip costs."""
    flat = TwoPrices(np.full(6, 50.0), np.full(6, 50.0))
    result = simulate(flat, np.array([0, 1, 1, 0, 0, 0], dtype=np.int8), 0, 6, Costs(0.004))
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
        "costs": FREE,
        "state": SimulationState.start(0),
    }
    with pytest.raises(ValueError, match=message):
        run(**{**given_, **change})


@pytest.mark.parametrize("broken", [{"bar": None}, {"trades": "AAAA"}, {"equity": "?"}, {"cash": "much"}])
def test_a_state_that_is_not_one_is_refused(broken: dict[str, Any]) -> None:
    """A checkpoint with a wrong or missing part raises, rather than going on from zeros."""
    state = SimulationState.start(0).to_json()
    with pytest.raises(ValueError):
        SimulationState.from_json({**state, **broken})
    with pytest.raises(ValueError, match="without 'units'"):
        SimulationState.from_json({key: value for key, value in state.items() if key != "units"})


@pytest.mark.parametrize("round_trip", [-0.1, 1.0, float("nan")])
def test_costs_that_are_no_fraction_are_refused(round_trip: float) -> None:
    """Costs of 0.3 % are 0.003."""
    with pytest.raises(ValueError, match="fraction"):
        Costs(round_trip)
