"""Lines that follow the price, in its units."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ktrdr.data.bars import Bars
from ktrdr.data.indicators.series import Floats, Outputs, Parameters, later
from ktrdr.data.talib_alone import talib


def _sma(values: Floats, p: Parameters) -> Outputs:
    """Simple moving average."""
    return (talib.SMA(values, int(p["period"])),)


def _ema(values: Floats, p: Parameters) -> Outputs:
    """Exponential moving average with weight 2 / (period + 1), started from a simple one."""
    return (talib.EMA(values, int(p["period"])),)


def _supertrend(bars: Bars, p: Parameters) -> Outputs:
    """SuperTrend (Seban): the band that trails the close, and +1 above it or -1 below it.

    The bands are hl2 ± multiplier · ATR (Wilder's), and neither moves away from the close before the
    close crosses it. It starts at +1.
    """
    line, direction = talib.SUPERTREND(
        bars.high, bars.low, bars.close, int(p["period"]), float(p["multiplier"])
    )
    return line, np.where(np.isnan(line), np.nan, direction)


def _parabolic_sar(bars: Bars, p: Parameters) -> Outputs:
    """Parabolic stop and reverse (Wilder 1978); the second bar decides on which side it starts."""
    return (talib.SAR(bars.high, bars.low, float(p["step"]), float(p["maximum"])),)


def _ichimoku(bars: Bars, p: Parameters) -> Outputs:
    """Ichimoku kinko hyo (Hosoda 1969): the middles of three ranges.

    The two spans of the cloud are read where they are plotted: at bar t stands what was computed at
    bar t - displacement. The lagging span is a close plotted back in time and is left out.
    """
    tenkan, kijun, slow = (
        np.asarray(talib.MIDPRICE(bars.high, bars.low, int(p[f"{name}_period"])))
        for name in ("tenkan", "kijun", "senkou")
    )
    displacement = int(p["displacement"])
    return tenkan, kijun, later((tenkan + kijun) / 2.0, displacement), later(slow, displacement)


TRENDS_OF_SERIES: Mapping[str, Callable[[Floats, Parameters], Outputs]] = {"sma": _sma, "ema": _ema}
TRENDS_OF_BARS: Mapping[str, Callable[[Bars, Parameters], Outputs]] = {
    "supertrend": _supertrend,
    "parabolicsar": _parabolic_sar,
    "ichimoku": _ichimoku,
}
