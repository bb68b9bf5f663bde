"""Series of several timeframes or symbols side by side, without look-ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars


def last_closed(base: Bars, base_seconds: int, other: Bars, other_seconds: int) -> NDArray[np.int64]:
    """For each base bar the last bar of `other` that has closed by the base bar's close, (n,); -1: none.

    A bar of t seconds that opens at o is known from o + t on. So a higher timeframe's bar is visible
    from the base bar on that closes with it, and of a lower timeframe the last bar inside is.
    """
    known_from = other.time + other_seconds
    decided_at = base.time + base_seconds
    return np.asarray(np.searchsorted(known_from, decided_at, side="right") - 1, dtype=np.int64)
