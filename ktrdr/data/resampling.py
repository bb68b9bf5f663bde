"""Bars of a higher timeframe made from those of a lower one."""

from __future__ import annotations

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.market import TIMEFRAME_SECONDS

MONDAY = 4 * TIMEFRAME_SECONDS["1d"]  # 1970-01-05; the epoch itself was a Thursday


def resample(bars: Bars, timeframe: str, wanted: str) -> Bars:
    """Bars of timeframe `wanted`: first open, highest high, lowest low, last close, summed volume.

    Buckets lie on the grid of the epoch, weeks begin on Monday. A last bucket that the bars do not
    reach the end of is left out: it is not known yet. Raises InvalidInput where a bar would lie in two
    buckets, or the one timeframe is no multiple of the other.
    """
    short, long = TIMEFRAME_SECONDS[timeframe], TIMEFRAME_SECONDS[wanted]
    if long % short != 0:
        raise InvalidInput(f"Bars of {timeframe} do not add up to {wanted}. Import the data at {wanted}.")
    if not len(bars):
        return bars
    origin = MONDAY if wanted == "1w" else 0
    opens = (bars.time - origin) // long * long + origin
    across = np.flatnonzero(bars.time + short > opens + long)
    if len(across):
        raise InvalidInput(
            f"{len(across)} bars of {timeframe} end in the {wanted} bar after the one they begin in "
            f"(the first opens at {int(bars.time[across[0]])} s): they are not on the hour. "
            f"Import the data at {wanted}."
        )
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    last = np.append(first[1:], len(bars)) - 1
    kept = len(first) if bars.time[-1] + short >= opens[-1] + long else len(first) - 1
    return Bars(
        opens[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.add.reduceat(bars.volume, first),
    ).until(kept)
