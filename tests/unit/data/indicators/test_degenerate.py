"""Markets that stand still: an output is finite once it is warm, within its bounds, and neutral."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.data.bars import Bars
from ktrdr.data.indicators import compute, outputs
from ktrdr.domain.grammar.indicators import CATALOGUE, SOURCES
from tests.unit.data.indicators.markets import (
    constant,
    dried_up,
    indicator,
    points,
    random_walk,
    usual_and_unusual,
)

N = 240
PRICES = st.sampled_from([1e-9, 0.1, 50.1, 1234.567, 1e6])
MARKETS = st.one_of(
    st.builds(random_walk, st.integers(0, 10_000), st.just(N), price=PRICES, dead_bars=st.just(0.9)),
    st.builds(dried_up, st.just(N), st.integers(0, 10_000)),
    st.builds(constant, st.just(N), PRICES, st.sampled_from([0.0, 5.0])),
    st.builds(points, st.just(N), st.sampled_from([0.0, 5.0])),
)


@pytest.mark.parametrize("kind", CATALOGUE)
@settings(max_examples=30, deadline=None)
@given(bars=MARKETS, source=st.sampled_from(SOURCES))
def test_after_warm_up_every_output_is_finite(kind: str, bars: Bars, source: str) -> None:
    """Whatever stands still, also a volume of zero as the source; no market warms up earlier or later."""
    one = indicator(kind, source)
    for values, lively in zip(outputs(bars, one), outputs(random_walk(0, N), one), strict=True):
        first = int(np.argmax(np.isfinite(lively)))
        assert np.isnan(values[:first]).all()
        assert np.isfinite(values[first:]).all()


BOUNDS: dict[str, tuple[float, float]] = {
    "rsi": (0.0, 100.0),
    "adx": (0.0, 100.0),
    "mfi": (0.0, 100.0),
    "stochastic": (0.0, 100.0),
    "williamsr": (-100.0, 0.0),
    "cmf": (-1.0, 1.0),
    "rvi": (-1.0, 1.0),
    "squeezeintensity": (0.0, 0.5),
    "volumeratio": (0.0, 20.0),
}


@pytest.mark.parametrize("kind", BOUNDS)
@settings(max_examples=30, deadline=None)
@given(bars=MARKETS)
def test_a_bounded_indicator_stays_within_its_bounds(kind: str, bars: Bars) -> None:
    """Also in a window in which nothing happened after one in which much did."""
    low, high = BOUNDS[kind]
    for values in outputs(bars, indicator(kind)):
        warm = values[np.isfinite(values)]
        assert warm.min() >= low - 1e-9
        assert warm.max() <= high + 1e-9


@pytest.mark.parametrize(
    ("kind", "neutral"),
    [
        ("cmf", 0.0),
        ("mfi", 0.0),
        ("volumeratio", 1.0),
        ("rvi", 0.0),
        ("cci", 0.0),
        ("bollingerbandwidth", 0.0),
    ],
)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_market_that_dried_up_is_as_neutral_as_one_that_never_moved(
    kind: str, neutral: float, seed: int
) -> None:
    """To the bit: what has left the window leaves nothing behind."""
    bars = dried_up(N, seed)
    for one in usual_and_unusual(kind):
        values = outputs(bars, one)[0][N // 3 + 24 : 2 * N // 3]
        np.testing.assert_array_equal(values, neutral)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_weighted_price_of_an_untraded_window_is_its_plain_mean(seed: int) -> None:
    bars = dried_up(N, seed)
    vwap = compute(bars, indicator("vwap"), None)[N // 3 + 20 : 2 * N // 3]
    np.testing.assert_allclose(vwap, bars.close[N // 3], rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_channel_of_rounding_is_no_channel(seed: int) -> None:
    """When the price has stood still for long, bands are not inside what is left of the channel."""
    squeeze = compute(dried_up(1500, seed), indicator("squeezeintensity"), None)
    np.testing.assert_array_equal(squeeze[760:1000], 0.0)
