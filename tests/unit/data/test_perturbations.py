"""Other markets that begin like one: valid, equal up to a bar, and different after it."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.data.bars import COLUMNS, Bars
from ktrdr.data.perturbations import CUT_OFF, PERTURBATIONS, SAME_LENGTH, changed
from tests.unit.data.series import walk

BARS = walk("1h", 200)
FIRST = 120


def other(perturbation: str, first: int = FIRST, seed: int = 1) -> Bars:
    return changed(BARS, first, perturbation, np.random.default_rng(seed))


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_what_has_closed_stays_and_what_comes_is_another_market(perturbation: str) -> None:
    """A market that could have been: positive prices, highest high, lowest low, rising times."""
    made, whole = other(perturbation), walk("1h", 200)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(made, name)[:FIRST], getattr(BARS, name)[:FIRST])
        np.testing.assert_array_equal(getattr(BARS, name), getattr(whole, name))
    assert (made.close[FIRST:] != BARS.close[FIRST : len(made)]).any()
    assert (np.minimum(made.open, made.close) >= made.low).all()
    assert (np.maximum(made.open, made.close) <= made.high).all()
    assert (made.low > 0.0).all()
    assert (np.diff(made.time) > 0).all()


def test_one_bar_is_left_of_a_market_that_is_cut_off() -> None:
    assert len(other(CUT_OFF)) == FIRST + 1
    assert all(len(other(one)) == len(BARS) for one in SAME_LENGTH)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_nothing_changes_where_nothing_comes(perturbation: str) -> None:
    np.testing.assert_array_equal(other(perturbation, len(BARS)).close, BARS.close)


def test_a_change_is_the_same_each_time_it_is_made() -> None:
    np.testing.assert_array_equal(other("shuffled").close, other("shuffled").close)
    assert (other("shuffled").close != other("shuffled", seed=2).close).any()


def test_each_statistic_of_all_bars_is_moved_by_one_of_them() -> None:
    """The highest, the lowest, the mean and the order: no leak is built on something that all leave alone."""
    made = [other(one) for one in PERTURBATIONS]
    for statistic in (np.max, np.min, np.mean, np.std):
        assert any(statistic(one.close) != statistic(BARS.close) for one in made)
    assert (np.sort(other("reversed").close) == np.sort(BARS.close)).all()
