"""A sum over a moving window carries no trace of what has left it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.data.indicators.windows import rolling_sum


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 60),
    period=st.integers(1, 20),
    missing=st.integers(0, 10),
)
def test_a_window_sums_what_is_in_it_and_nothing_else(seed: int, n: int, period: int, missing: int) -> None:
    """To rounding, for any period and length; a NaN is in the windows that hold it and in no other."""
    random = np.random.default_rng(seed)
    values = random.normal(0.0, 1.0, n) * 10.0 ** random.integers(-8, 8, n)
    values[:missing] = np.nan
    sums = rolling_sum(values, period)
    for t in range(n):
        window = values[t - period + 1 : t + 1] if t + 1 >= period else np.array([np.nan])
        np.testing.assert_allclose(sums[t], window.sum(), rtol=0.0, atol=1e-13 * np.abs(window).sum())
