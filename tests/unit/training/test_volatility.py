"""Each volatility against its formula, written out bar by bar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.training.volatility import log_returns, rolling_deviation, volatility, window_sums

from .label_oracle import VOLATILITY, walk


@pytest.mark.parametrize("method", VOLATILITY)
@pytest.mark.parametrize("span", [2, 3, 14, 60])
def test_a_volatility_is_its_formula(method: str, span: int) -> None:
    """To nine digits on every bar from the first warm one on, and nothing before it."""
    bars = walk(span, 200)
    found = volatility(bars, method, span)
    assert np.isnan(found[:span]).all()
    expected = [VOLATILITY[method](bars, t, span) for t in range(span, 200)]
    np.testing.assert_allclose(found[span:], expected, rtol=1e-9)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(0, 70), st.integers(1, 30))
def test_a_window_sum_is_the_sum_of_its_window(seed: int, n: int, window: int) -> None:
    """For each window that fits, at whatever offset from the blocks it is computed in."""
    values = np.random.default_rng(seed).integers(-1000, 1000, n).astype(np.float64)
    expected = [sum(values[i : i + window]) for i in range(n - window + 1)]
    assert window_sums(values, window).tolist() == expected


def test_a_crash_that_has_left_the_window_leaves_no_trace() -> None:
    """A running sum would keep its rounding forever: the deviation of a price at rest is zero."""
    close = np.concatenate([[1e-6, 1e6, 1e-3], walk(1, 50).close, np.full(60, 80.0)])
    deviation = rolling_deviation(log_returns(close), 20)
    assert (deviation[-35:] == 0.0).all()
