"""Several symbols on one calendar."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtesting.curves import benchmark_returns
from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.prices import align, place_targets
from ktrdr.backtesting.rules import Rules
from ktrdr.backtesting.significance import exam
from ktrdr.data.bars import DAY, Bars


def days(numbers: list[int], close: list[float]) -> Bars:
    """Daily bars of these days; each opens at half of its close."""
    closes = np.array(close)
    time = np.array(numbers, dtype=np.int64) * DAY
    return Bars(time, closes / 2.0, closes, closes / 2.0, closes, np.ones(len(closes)))


A = days([0, 1, 3, 4], [10.0, 11.0, 13.0, 14.0])
B = days([1, 2, 4], [20.0, 22.0, 24.0])


def test_a_day_without_a_bar_has_the_last_close_and_is_marked() -> None:
    panel = align([A, B])
    assert (panel.time // DAY).tolist() == [0, 1, 2, 3, 4]
    assert panel.close.T.tolist() == [[10, 11, 11, 13, 14], [10, 20, 22, 22, 24]]
    assert panel.open.T.tolist() == [[5, 5.5, 11, 6.5, 7], [10, 10, 11, 22, 12]]
    assert panel.present.T.tolist() == [[True, True, False, True, True], [False, True, True, False, True]]


def test_a_target_stands_until_the_symbols_next_bar() -> None:
    panel = align([A, B])
    targets = [np.array([1, 0, -1, 0], dtype=np.int8), np.array([-1, 1, 0], dtype=np.int8)]
    assert place_targets(panel, [A, B], targets).T.tolist() == [[1, 0, 0, -1, 0], [0, -1, 1, 1, 0]]


def test_a_target_is_filled_at_the_next_open_that_its_symbol_has() -> None:
    """Decided on day 1, A has no bar on day 2: it is bought at the open of day 3, with half of the money."""
    panel = align([A, B])
    targets = np.zeros((5, 2), dtype=np.int8)
    targets[1:, 0] = 1
    (trade,) = simulate(panel, targets, 0, 5, Rules(capital=1000.0)).trade_list()
    assert (trade.symbol, trade.entry_bar, trade.entry_price, trade.reason) == (0, 3, 6.5, "end")
    assert trade.units * trade.entry_price == pytest.approx(500.0)


def test_bars_of_nothing_are_refused() -> None:
    for series in ([], [A, days([], [])]):
        with pytest.raises(ValueError, match="bars"):
            align(series)


def test_the_benchmark_holds_the_same_amount_of_each() -> None:
    panel = align([A, B])
    result = simulate(panel, np.zeros((5, 2), dtype=np.int8), 1, 5, Rules())
    worth = np.array([2.0, 1.0 + 1.1, 13 / 11 + 1.1, 14 / 11 + 1.2]) / 2.0
    assert benchmark_returns(result, panel) == pytest.approx(worth[1:] / worth[:-1] - 1.0)


def test_two_symbols_that_are_one_sit_the_exam_as_one() -> None:
    """The same prices and targets twice: half of the money each, so the same returns, alpha and vetoes."""
    rng = np.random.default_rng(4)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 300)))
    one = days(list(range(300)), closes.tolist())
    targets = rng.integers(-1, 2, 300).astype(np.int8)
    panel, rules = align([one, one]), Rules(fee=0.001)
    both = np.column_stack([targets, targets])
    alone = exam(simulate(one, targets, 0, 300, rules), one, targets, 300, rules, 0.05)
    found = exam(simulate(panel, both, 0, 300, rules), panel, both, 300, rules, 0.05)
    for name in ("alpha_annual", "t_value", "p_value"):
        assert found[name] == pytest.approx(alone[name])
    for name in ("alpha_costs_doubled", "alpha_one_bar_late"):
        assert found["vetoes"][name] == pytest.approx(alone["vetoes"][name])
