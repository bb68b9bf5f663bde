"""What an indicator reads: one series of the bars, by the name of its source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.talib_alone import talib

Floats = NDArray[np.float64]
Parameters = Mapping[str, int | float]
Outputs = tuple[Floats, ...]


def series(bars: Bars, source: str) -> Floats:
    """The series called close, open, high, low, volume, hl2, hlc3 or ohlc4, (n,), in the bars' units."""
    if source == "hl2":
        return np.asarray(talib.MEDPRICE(bars.high, bars.low))
    if source == "hlc3":
        return np.asarray(talib.TYPPRICE(bars.high, bars.low, bars.close))
    if source == "ohlc4":
        return np.asarray(talib.AVGPRICE(bars.open, bars.high, bars.low, bars.close))
    return np.asarray(getattr(bars, source))


def later(values: Floats, bars: int) -> Floats:
    """What was known `bars` bars ago, (n,); NaN before that."""
    shifted = np.full(len(values), np.nan)
    shifted[bars:] = values[: max(len(values) - bars, 0)]
    return shifted


def ratio(numerator: Floats, denominator: Floats, neutral: float) -> Floats:
    """numerator / denominator, (n,), and `neutral` where nothing is divided by nothing; NaN stays NaN."""
    nothing = denominator == 0.0
    divided: Floats = numerator / np.where(nothing, 1.0, denominator)
    return np.where(nothing, neutral, divided)
