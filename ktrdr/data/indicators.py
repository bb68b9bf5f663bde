"""Indicators, computed by TA-Lib. All of them are causal: bar t uses bars up to t."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.talib_alone import talib
from ktrdr.domain.strategies import INDICATORS, Indicator

Floats = NDArray[np.float64]
Parameters = Mapping[str, int | float]


def _bollinger(bars: Bars, p: Parameters) -> tuple[Floats, ...]:
    width = float(p["multiplier"])
    return tuple(talib.BBANDS(bars.close, timeperiod=int(p["period"]), nbdevup=width, nbdevdn=width))


def _macd(bars: Bars, p: Parameters) -> tuple[Floats, ...]:
    periods = (int(p["fast_period"]), int(p["slow_period"]), int(p["signal_period"]))
    return tuple(talib.MACD(bars.close, *periods))


def _stochastic(bars: Bars, p: Parameters) -> tuple[Floats, ...]:
    k, d, smooth = int(p["k_period"]), int(p["d_period"]), int(p["smooth_k"])
    return tuple(
        talib.STOCH(bars.high, bars.low, bars.close, fastk_period=k, slowk_period=smooth, slowd_period=d)
    )


_COMPUTE: Mapping[str, Callable[[Bars, Parameters], tuple[Floats, ...]]] = {
    "rsi": lambda b, p: (talib.RSI(b.close, int(p["period"])),),
    "roc": lambda b, p: (talib.ROC(b.close, int(p["period"])),),
    "adx": lambda b, p: (talib.ADX(b.high, b.low, b.close, int(p["period"])),),
    "cci": lambda b, p: (talib.CCI(b.high, b.low, b.close, int(p["period"])),),
    "williamsr": lambda b, p: (talib.WILLR(b.high, b.low, b.close, int(p["period"])),),
    "mfi": lambda b, p: (talib.MFI(b.high, b.low, b.close, b.volume, int(p["period"])),),
    "ema": lambda b, p: (talib.EMA(b.close, int(p["period"])),),
    "sma": lambda b, p: (talib.SMA(b.close, int(p["period"])),),
    "atr": lambda b, p: (talib.ATR(b.high, b.low, b.close, int(p["period"])),),
    "macd": _macd,
    "stochastic": _stochastic,
    "bollinger": _bollinger,
}


def outputs(bars: Bars, indicator: Indicator) -> tuple[Floats, ...]:
    """Every output of an indicator in the catalogue's order, each (n,); NaN until it is warm."""
    return _COMPUTE[indicator.type](bars, indicator.parameters)


def compute(bars: Bars, indicator: Indicator, output: str | None) -> Floats:
    """One output of an indicator, (n,); NaN until it is warm. None: its first output."""
    names = INDICATORS[indicator.type][1]
    return outputs(bars, indicator)[0 if output is None else names.index(output)]
