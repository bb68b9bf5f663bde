"""Sums of products of two series, without an array of the products.

What a figure costs on a long series is the memory that its temporaries touch, not its arithmetic.
"""

from __future__ import annotations

from typing import Any

import numba

from ktrdr.backtesting.prices import Floats

_LEAF = 128


def sum_of_products(first: Floats, second: Floats, less_first: float, less_second: float) -> float:
    """Σ (first - less_first) · (second - less_second) of two series (n,).

    In the order of numpy's pairwise sum (halves, down to 128 values; eight partial sums in each), so it
    has the bits of `np.sum` of the products, and an error that grows with log n (Higham 1993).
    """
    return float(_summed_compiled(first, second, less_first, less_second))


def _summed(first: Floats, second: Floats, less_first: float, less_second: float) -> float:
    count = len(first)
    if count > _LEAF:
        half = count // 2
        half -= half % 8
        left: float = _summed_compiled(first[:half], second[:half], less_first, less_second)
        right: float = _summed_compiled(first[half:], second[half:], less_first, less_second)
        return left + right
    whole = count - count % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for at in range(0, whole, 8):
        a, b = first[at : at + 8], second[at : at + 8]
        s0 += (a[0] - less_first) * (b[0] - less_second)
        s1 += (a[1] - less_first) * (b[1] - less_second)
        s2 += (a[2] - less_first) * (b[2] - less_second)
        s3 += (a[3] - less_first) * (b[3] - less_second)
        s4 += (a[4] - less_first) * (b[4] - less_second)
        s5 += (a[5] - less_first) * (b[5] - less_second)
        s6 += (a[6] - less_first) * (b[6] - less_second)
        s7 += (a[7] - less_first) * (b[7] - less_second)
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for at in range(whole, count):
        total += (first[at] - less_first) * (second[at] - less_second)
    return total


_summed_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(_summed)
