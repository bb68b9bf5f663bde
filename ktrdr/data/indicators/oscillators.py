"""Oscillators: where the price stands, and how fast it moves, on a scale of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ktrdr.data.bars import Bars
from ktrdr.data.indicators.series import Floats, Outputs, Parameters, later, ratio, series
from ktrdr.data.indicators.windows import rolling_mean, rolling_sum
from ktrdr.data.talib_alone import talib


def _rsi(values: Floats, p: Parameters) -> Outputs:
    """Relative Strength Index (Wilder 1978), 0 to 100; 0 when nothing has moved yet."""
    return (talib.RSI(values, int(p["period"])),)


def _roc(values: Floats, p: Parameters) -> Outputs:
    """Rate of change, per cent of the value `period` bars ago; 0 when that was 0."""
    return (talib.ROC(values, int(p["period"])),)


def _momentum(values: Floats, p: Parameters) -> Outputs:
    """Difference to the value `period` bars ago, in the source's units."""
    return (talib.MOM(values, int(p["period"])),)


def _macd(values: Floats, p: Parameters) -> Outputs:
    """Moving Average Convergence Divergence (Appel 1979), in the source's units.

    Both averages start from the mean of their last bars at the bar where the slow one is warm.
    """
    periods = (int(p["fast_period"]), int(p["slow_period"]), int(p["signal_period"]))
    return tuple(talib.MACD(values, *periods))


def _distance_from_average(values: Floats, p: Parameters) -> Outputs:
    """Distance to the simple moving average, in per cent of it; 0 when the average is 0."""
    average = rolling_mean(values, int(p["period"]))
    return (100.0 * ratio(values - average, average, 0.0),)


def _cci(bars: Bars, p: Parameters) -> Outputs:
    """Commodity Channel Index (Lambert 1980) of the typical price; 0 when it stands still."""
    return (talib.CCI(bars.high, bars.low, bars.close, int(p["period"])),)


def _williams_r(bars: Bars, p: Parameters) -> Outputs:
    """Williams %R (Williams 1973), -100 to 0; 0 when the window has no range."""
    return (talib.WILLR(bars.high, bars.low, bars.close, int(p["period"])),)


def _stochastic(bars: Bars, p: Parameters) -> Outputs:
    """Stochastic oscillator (Lane 1984), 0 to 100, smoothed by simple averages; 0 without a range."""
    k, d, smooth = int(p["k_period"]), int(p["d_period"]), int(p["smooth_k"])
    return tuple(
        talib.STOCH(bars.high, bars.low, bars.close, fastk_period=k, slowk_period=smooth, slowd_period=d)
    )


def _aroon(bars: Bars, p: Parameters) -> Outputs:
    """Aroon (Chande 1995), 0 to 100, and up less down; of equal extremes the latest one counts."""
    down, up = talib.AROON(bars.high, bars.low, int(p["period"]))
    return up, down, up - down


def _rvi(bars: Bars, p: Parameters) -> Outputs:
    """Relative Vigor Index (Ehlers 2002): mean close - open over mean high - low; 0 without a range.

    Both are weighted 1, 2, 2, 1 over four bars before they are averaged, and so is the signal.
    """
    period = int(p["period"])
    gained = rolling_sum(_weighted(bars.close - bars.open), period)
    value = ratio(gained, rolling_sum(_weighted(bars.high - bars.low), period), 0.0)
    return value, _weighted(value)


def _weighted(values: Floats) -> Floats:
    """Mean of four bars with weights 1, 2, 2, 1, (n,); NaN in the first three."""
    return (values + 2.0 * later(values, 1) + 2.0 * later(values, 2) + later(values, 3)) / 6.0


def _fisher_transform(bars: Bars, p: Parameters) -> Outputs:
    """Fisher transform (Ehlers 2002) of the median price's place in its range; signal: a bar earlier.

    Without a range the place is the middle, and the value decays to 0.
    """
    from ktrdr.data.indicators.recursions import fisher  # numba takes as long to import as a training

    period, price = int(p["period"]), series(bars, "hl2")
    highest, lowest = talib.MAX(price, period), talib.MIN(price, period)
    value: Floats = fisher(2.0 * ratio(price - lowest, highest - lowest, 0.5) - 1.0)
    return value, later(value, 1)


def _adx(bars: Bars, p: Parameters) -> Outputs:
    """Average Directional Index (Wilder 1978), 0 to 100; 0 when nothing has moved yet."""
    return (talib.ADX(bars.high, bars.low, bars.close, int(p["period"])),)


OSCILLATORS_OF_SERIES: Mapping[str, Callable[[Floats, Parameters], Outputs]] = {
    "rsi": _rsi,
    "roc": _roc,
    "momentum": _momentum,
    "macd": _macd,
    "distancefromma": _distance_from_average,
}
OSCILLATORS_OF_BARS: Mapping[str, Callable[[Bars, Parameters], Outputs]] = {
    "adx": _adx,
    "cci": _cci,
    "williamsr": _williams_r,
    "stochastic": _stochastic,
    "aroon": _aroon,
    "rvi": _rvi,
    "fishertransform": _fisher_transform,
}
