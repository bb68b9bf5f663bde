"""No indicator sees a bar that has not closed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.data.bars import Bars
from ktrdr.data.indicators import outputs
from ktrdr.domain.grammar.indicators import CATALOGUE
from tests.unit.data.indicators.markets import constant, dried_up, points, random_walk, usual_and_unusual

N = 200
MARKETS = st.one_of(
    st.builds(random_walk, st.integers(0, 10_000), st.just(N), dead_bars=st.sampled_from([0.0, 0.3, 0.9])),
    st.builds(dried_up, st.just(N), st.integers(0, 10_000)),
    st.builds(constant, st.just(N), volume=st.sampled_from([0.0, 5.0])),
    st.builds(points, st.just(N), volume=st.sampled_from([0.0, 5.0])),
)


def another_future(bars: Bars, first: int, seed: int) -> Bars:
    """The same bars before `first`; from there on a market of another price and another volume."""
    other, market = bars.until(len(bars)), random_walk(seed, len(bars), price=700.0)
    for column in ("open", "high", "low", "close"):
        getattr(other, column)[first:] = getattr(market, column)[first:]
    other.volume[first:] = 1e6 * market.volume[first:]
    return other


@pytest.mark.parametrize("kind", CATALOGUE)
@settings(max_examples=25, deadline=None)
@given(bars=MARKETS, t=st.integers(0, N - 1), seed=st.integers(0, 10_000))
def test_bars_after_t_move_no_output_up_to_t(kind: str, bars: Bars, t: int, seed: int) -> None:
    """Not by a bit, whatever market comes next and whether or not any comes at all."""
    other = another_future(bars, t + 1, seed)
    for one in usual_and_unusual(kind):
        before = outputs(bars, one)
        for values, changed, cut in zip(
            before, outputs(other, one), outputs(bars.until(t + 1), one), strict=True
        ):
            np.testing.assert_array_equal(values[: t + 1], changed[: t + 1])
            np.testing.assert_array_equal(values[: t + 1], cut)


@pytest.mark.parametrize("kind", CATALOGUE)
def test_the_other_future_is_seen_once_it_is_there(kind: str) -> None:
    """Every output moves after t, or the test above would show nothing."""
    bars = random_walk(9, N)
    other = another_future(bars, 120, 10)
    for one in usual_and_unusual(kind):
        for values, changed in zip(outputs(bars, one), outputs(other, one), strict=True):
            assert (values[120:] != changed[120:]).any()
