"""Sums over a moving window that carry no trace of what has left it."""

from __future__ import annotations

import numpy as np

from ktrdr.data.indicators.series import Floats


def rolling_sum(values: Floats, period: int) -> Floats:
    """Sum of the last `period` values at each bar, (n,); NaN before there are as many.

    A running sum adds what comes and takes off what goes, and keeps the rounding of both: after large
    volumes, a window of zero volume sums to a small number of either sign, and a ratio of two such
    sums is any number. Here nothing is taken off. The bars are cut into blocks of `period`, so that a
    window is the end of one block and the start of the next, and each of the two is a cumulative sum
    (van Herk 1992 does so with maxima). A window of zeros sums to zero exactly, and the cost is that
    of two cumulative sums, whatever the period.
    """
    n = len(values)
    sums = np.full(n, np.nan)
    if n < period:
        return sums
    blocks = np.zeros((n // period + 1, period))
    blocks.ravel()[:n] = values
    starts = np.cumsum(blocks, axis=1).ravel()
    ends = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1]
    ends[:, 0] = 0.0  # a window that is a whole block has it in `starts` already
    sums[period - 1 :] = starts[period - 1 : n] + ends.ravel()[: n - period + 1]
    return sums


def rolling_mean(values: Floats, period: int) -> Floats:
    """Mean of the last `period` values at each bar, (n,); NaN before there are as many."""
    return rolling_sum(values, period) / period
