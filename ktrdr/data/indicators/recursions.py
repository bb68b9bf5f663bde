"""Recursions that neither TA-Lib nor an array operation computes. Imported when one is asked for."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from ktrdr.data.indicators.series import Floats

LIMIT = 0.99
BEYOND = 0.999


def _fisher(position: Floats) -> Floats:
    """Ehlers' smoothed Fisher transform of a position in [-1, 1], (n,); NaN where the position is NaN."""
    result = np.full(len(position), np.nan)
    smoothed = 0.0
    transformed = 0.0
    for t in range(len(position)):
        if math.isnan(position[t]):
            continue
        smoothed = 0.33 * position[t] + 0.67 * smoothed
        if smoothed > LIMIT:
            smoothed = BEYOND
        elif smoothed < -LIMIT:
            smoothed = -BEYOND
        transformed = 0.5 * math.log((1.0 + smoothed) / (1.0 - smoothed)) + 0.5 * transformed
        result[t] = transformed
    return result


fisher: Any = numba.njit(cache=True, nogil=True)(_fisher)
