"""Channels around the price, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.data.indicators.series import Floats, Outputs, Parameters, ratio
from ktrdr.data.talib_alone import talib

ROUNDING = 1e-10  # of the price: a channel that is narrower has no width, only rounding
SQUEEZE_ATR_PERIOD = 10
SQUEEZE_MULTIPLIER = 2.0


def _atr(bars: Bars, p: Parameters) -> Outputs:
    """Average True Range (Wilder 1978), in units of price; 0 when nothing has moved yet."""
    return (talib.ATR(bars.high, bars.low, bars.close, int(p["period"])),)


def _bollinger(values: Floats, p: Parameters) -> Outputs:
    """Bollinger bands (Bollinger 2001): simple average ± multiplier · population deviation."""
    width = float(p["multiplier"])
    return tuple(talib.BBANDS(values, timeperiod=int(p["period"]), nbdevup=width, nbdevdn=width))


def _bandwidth(values: Floats, p: Parameters) -> Outputs:
    """Bollinger BandWidth (Bollinger 2001): (upper - lower) / middle; 0 when the middle is 0."""
    upper, middle, lower = _bollinger(values, p)
    return (ratio(upper - lower, middle, 0.0),)


def _donchian(bars: Bars, p: Parameters) -> Outputs:
    """Donchian channel (his four-week rule): highest high, their middle and lowest low of the last bars."""
    return tuple(talib.DONCHIAN(bars.high, bars.low, int(p["period"])))


def _keltner(bars: Bars, p: Parameters) -> Outputs:
    """Keltner channel (Keltner 1960, Raschke's form): EMA of the typical price ± multiplier · ATR.

    Both averages start from the mean of their last bars at the bar where the slower one is warm.
    """
    periods = (int(p["period"]), int(p["atr_period"]))
    return tuple(talib.KC(bars.high, bars.low, bars.close, *periods, float(p["multiplier"])))


def _squeeze(bars: Bars, p: Parameters) -> Outputs:
    """How far the Bollinger bands of the close lie inside the Keltner channel (after Carter 2005).

    The smaller of the two gaps between band and channel, as a share of the channel's width: 0 where a
    band is outside, up to 0.5 where the bands have closed in its middle. Both have the same period and
    two deviations, or two ATRs of ten bars. 0 when the channel has no width.
    """
    period = int(p["period"])
    upper, middle, lower = _bollinger(bars.close, {"period": period, "multiplier": SQUEEZE_MULTIPLIER})
    top, _, bottom = talib.KC(bars.high, bars.low, bars.close, period, SQUEEZE_ATR_PERIOD, SQUEEZE_MULTIPLIER)
    width = np.where(top - bottom <= ROUNDING * np.abs(middle), 0.0, top - bottom)
    return (np.clip(ratio(np.minimum(top - upper, lower - bottom), width, 0.0), 0.0, 0.5),)


CHANNELS_OF_SERIES: Mapping[str, Callable[[Floats, Parameters], Outputs]] = {
    "bollinger": _bollinger,
    "bollingerbandwidth": _bandwidth,
}
CHANNELS_OF_BARS: Mapping[str, Callable[[Bars, Parameters], Outputs]] = {
    "atr": _atr,
    "donchian": _donchian,
    "keltner": _keltner,
    "squeezeintensity": _squeeze,
}
