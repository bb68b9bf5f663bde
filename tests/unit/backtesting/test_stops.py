"""The rules within a bar, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.rules import Rules
from ktrdr.data.bars import Bars


def bar_of(opened: float, high: float, low: float) -> Bars:
    """Bought at 100 at the open of the second bar; the third bar is given."""
    opens, highs = np.array([100.0, 100.0, opened, 100.0]), np.array([100.0, 100.0, high, 100.0])
    lows, closes = np.array([100.0, 100.0, low, 100.0]), np.array([100.0, 100.0, opened, 100.0])
    return Bars(np.arange(4, dtype=np.int64), opens, highs, lows, closes, np.ones(4))


@pytest.mark.parametrize(
    ("opened", "high", "low", "price", "reason"),
    [
        (100.0, 101.0, 75.0, 75.0, "stop_loss"),  # touched to the tick
        (60.0, 101.0, 50.0, 60.0, "stop_loss"),  # a gap through the level fills at the open
        (100.0, 150.0, 99.0, 150.0, "take_profit"),
        (160.0, 170.0, 99.0, 160.0, "take_profit"),
        (100.0, 150.0, 75.0, 75.0, "stop_loss"),  # both: the worse
        (160.0, 170.0, 60.0, 160.0, "take_profit"),  # the open came first
        (100.0, 149.0, 76.0, 100.0, "end"),
    ],
)
def test_a_level_that_is_reached_is_filled(
    opened: float, high: float, low: float, price: float, reason: str
) -> None:
    """A stop at 75 and a profit at 150; what was stopped does not enter again on the same target."""
    rules = Rules(stop_loss=0.25, take_profit=0.5)
    result = simulate(bar_of(opened, high, low), np.ones(4, dtype=np.int8), 0, 4, rules)
    (trade,) = result.trade_list()
    assert (trade.exit_price, trade.reason) == (price, reason)


def test_a_trailing_level_follows_only_after_the_bar() -> None:
    """A bar that rises to 200 and falls back to 100 does not hit the stop that its own high would set."""
    result = simulate(bar_of(100.0, 200.0, 100.0), np.ones(4, dtype=np.int8), 0, 4, Rules(trailing_stop=0.25))
    (trade,) = result.trade_list()
    assert (trade.exit_bar, trade.exit_price, trade.reason) == (3, 100.0, "trailing_stop")
