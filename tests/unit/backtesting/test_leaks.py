"""The kernel sees targets a bar late, and no price before its time; a kernel that does not is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.leaks import find_leaks
from ktrdr.backtesting.prices import Targets, align
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars
from ktrdr.domain.leaks import Leak, LeakKind
from tests.unit.backtesting.market import random_targets
from tests.unit.data.series import walk

Equity = NDArray[np.float64]
FIRST, LAST = 20, 280
SEGMENT = (FIRST, LAST)
BARS = walk("1h", 300, seed=4)
OTHER = walk("1h", 300, seed=5)
AT = range(FIRST, LAST, 17)
COSTS = Rules(fee=0.001)
RULES = {
    "all in": COSTS,
    "stops": Rules(fee=0.001, slippage=0.0005, stop_loss=0.004, take_profit=0.01, trailing_stop=0.006),
    "a part": Rules(fraction=0.5, min_separation=6, shorts=False),
}


def equity(bars: Bars, targets: Targets, rules: Rules = COSTS) -> Equity:
    return simulate(bars, targets, FIRST, LAST, rules).equity


def beside_another(bars: Bars, targets: Targets) -> Equity:
    """Of a portfolio in which the other symbol follows the first one's targets the wrong way round."""
    return simulate(
        align([bars, OTHER]), np.column_stack([targets, -targets]), FIRST, LAST, RULES["stops"]
    ).equity


def leaks(simulation: Callable[[Bars, Targets], Equity], *, keep: float = 0.7) -> list[Leak]:
    targets = random_targets(len(BARS), 3, keep)
    return list(find_leaks(simulation, BARS, targets, SEGMENT, "X", AT, seed=1))


@pytest.mark.parametrize("rules", RULES)
def test_no_equity_moves_before_a_target_is_filled(rules: str) -> None:
    assert leaks(lambda bars, targets: equity(bars, targets, RULES[rules])) == []


def test_no_equity_of_a_portfolio_moves_before_its_targets_are_filled() -> None:
    assert leaks(beside_another) == []


@settings(deadline=None, max_examples=60)
@given(t=st.integers(FIRST, LAST - 2), seed=st.integers(0, 1000), rules=st.sampled_from([*RULES.values()]))
def test_a_target_is_in_no_equity_up_to_its_own_bar(t: int, seed: int, rules: Rules) -> None:
    """Other targets from bar t on, at the same prices: the account at the close of bar t is the same, and
    nothing that happened by then is another trade."""
    targets = random_targets(len(BARS), seed)
    others = targets.copy()
    others[t:] = random_targets(len(BARS), seed + 1)[t:]
    others[t] = -1 if targets[t] >= 0 else 1
    one, other = (simulate(BARS, given, FIRST, LAST, rules) for given in (targets, others))
    np.testing.assert_array_equal(one.equity[: t - FIRST + 1], other.equity[: t - FIRST + 1])
    done = [[trade for trade in state.trade_list() if trade.exit_bar <= t] for state in (one, other)]
    assert done[0] == done[1]


def at_the_same_open(bars: Bars, targets: Targets) -> Equity:
    """The target of a bar's close is filled at the open before it."""
    return equity(bars, np.roll(targets, -1))


def at_the_same_close(bars: Bars, targets: Targets) -> Equity:
    """At the close itself: its costs are in the equity of that bar."""
    held = np.concatenate([[0], targets]).astype(float)
    moved = np.abs(np.diff(held)) * 0.001
    returns = np.diff(np.log(bars.close), prepend=np.log(bars.close[0])) * held[:-1]
    return np.asarray(np.cumprod(np.exp(returns) * (1.0 - moved)))[FIRST:LAST]


def at_the_next_close(bars: Bars, targets: Targets) -> Equity:
    """A bar is filled at the price that it will close with, seen at its opening, and so is its worth."""
    return equity(replace(bars, close=np.append(bars.close[1:], bars.close[-1])), targets)


def sized_by_the_best_bar(bars: Bars, targets: Targets) -> Equity:
    """The position is a share of what the whole segment will bring at best."""
    return np.asarray(equity(bars, targets) * bars.high.max())


@pytest.mark.parametrize(
    "bug", [at_the_same_open, at_the_same_close, at_the_next_close, sized_by_the_best_bar]
)
def test_a_fill_before_its_time_is_found(bug: Callable[[Bars, Targets], Equity]) -> None:
    """The bar that moved lies in the segment, and before the first that was changed."""
    found = leaks(bug)
    assert found
    for one in found:
        assert (one.kind, one.symbol) == (LeakKind.FILL, "X")
        assert one.bar is not None
        assert FIRST <= one.bar < one.known
        assert one.time == BARS.time[one.bar]
