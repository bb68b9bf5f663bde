"""What a strategy's filters leave of its targets; each looks at nothing after the bar it decides on."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

VOLUME_BARS = 20

Floats = NDArray[np.float64]
Targets = NDArray[np.int8]


def without_thin_entries(targets: Targets, volume: Floats) -> Targets:
    """(n,) targets whose positions begin on no bar with less volume than the mean of the last 20.

    The bar itself is one of the 20; at the beginning it is the mean of those there are. A position
    that was not entered is entered at the first bar of the same target with volume enough; one that
    is held is kept whatever the volume, and leaving it is never put off.
    """
    enough = volume >= _mean_of_last(volume, VOLUME_BARS)
    bars = np.arange(len(targets))
    changed = np.ones(len(targets), dtype=np.bool_)
    changed[1:] = targets[1:] != targets[:-1]
    began = np.maximum.accumulate(np.where(changed, bars, 0))
    allowed = np.maximum.accumulate(np.where(enough, bars, -1))
    return np.where(allowed >= began, targets, 0).astype(np.int8)


def _mean_of_last(values: Floats, count: int) -> Floats:
    padded = np.concatenate([np.zeros(count - 1), values])
    seen = np.minimum(np.arange(1, len(values) + 1), count)
    return np.asarray(sliding_window_view(padded, count).sum(axis=1) / seen)
