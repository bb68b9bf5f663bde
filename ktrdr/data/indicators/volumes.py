"""Indicators that read volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.data.indicators.series import Outputs, Parameters, ratio, series
from ktrdr.data.indicators.windows import rolling_mean, rolling_sum
from ktrdr.data.talib_alone import talib


def _obv(bars: Bars, _: Parameters) -> Outputs:
    """On-Balance Volume (Granville 1963), in units of volume; it starts at the first bar's volume."""
    return (talib.OBV(bars.close, bars.volume),)


def _ad_line(bars: Bars, _: Parameters) -> Outputs:
    """Accumulation/Distribution line (Chaikin), in units of volume; a bar without a range adds 0."""
    return (talib.AD(bars.high, bars.low, bars.close, bars.volume),)


def _mfi(bars: Bars, p: Parameters) -> Outputs:
    """Money Flow Index (Quong and Soudack 1989), 0 to 100; 0 when no money has flowed."""
    return (talib.MFI(bars.high, bars.low, bars.close, bars.volume, int(p["period"])),)


def _cmf(bars: Bars, p: Parameters) -> Outputs:
    """Chaikin Money Flow, -1 to 1: volume by the close's place in its bar, over volume.

    A bar without a range counts as closed in the middle; 0 when nothing was traded.
    """
    period = int(p["period"])
    place = ratio(2.0 * bars.close - bars.high - bars.low, bars.high - bars.low, 0.0)
    return (ratio(rolling_sum(place * bars.volume, period), rolling_sum(bars.volume, period), 0.0),)


def _vwap(bars: Bars, p: Parameters) -> Outputs:
    """Typical price weighted by volume over the last `period` bars; unweighted when nothing was traded."""
    period, price = int(p["period"]), series(bars, "hlc3")
    volume = rolling_sum(bars.volume, period)
    weighted = ratio(rolling_sum(price * bars.volume, period), volume, 0.0)
    return (np.where(volume == 0.0, rolling_mean(price, period), weighted),)


def _volume_ratio(bars: Bars, p: Parameters) -> Outputs:
    """Volume over its mean of the last `period` bars, this one included; 1 when nothing was traded."""
    return (ratio(bars.volume, rolling_mean(bars.volume, int(p["period"])), 1.0),)


VOLUMES_OF_BARS: Mapping[str, Callable[[Bars, Parameters], Outputs]] = {
    "obv": _obv,
    "adline": _ad_line,
    "mfi": _mfi,
    "cmf": _cmf,
    "vwap": _vwap,
    "volumeratio": _volume_ratio,
}
