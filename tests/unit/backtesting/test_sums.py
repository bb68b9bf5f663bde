from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtesting.sums import sum_of_products


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 127, 128, 129, 136, 257, 1000, 12_345])
def test_a_sum_of_products_has_the_bits_of_numpys(length: int) -> None:
    """Whatever the length, it equals numpy's pairwise sum of the array of products to the last bit."""
    rng = np.random.default_rng(length)
    first, second = rng.normal(0.1, 1.0, length), rng.normal(-0.1, 1e3, length)
    assert sum_of_products(first, second, 0.3, -7.0) == np.sum((first - 0.3) * (second + 7.0))
