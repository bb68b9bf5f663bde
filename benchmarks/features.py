"""A million bars to fuzzy features, against TA-Lib computing the same ten indicators.

Both run on one thread in the same rounds. Prints the medians and their ratio; exits with 1 when it is
above the limit.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from ktrdr.data.bars import Bars
from ktrdr.data.features import compute_features
from ktrdr.data.market import Market
from ktrdr.data.talib_alone import talib
from ktrdr.domain.strategies import Strategy, parse_strategy

BARS = 1_000_000
ROUNDS = 9
LIMIT = 1.5
SYMBOL, TIMEFRAME = "WALK", "1m"
INDICATORS = {
    "rsi_14": {"type": "rsi", "period": 14},
    "macd": {"type": "macd", "fast_period": 12, "slow_period": 26, "signal_period": 9},
    "stoch": {"type": "stochastic", "k_period": 14, "d_period": 3, "smooth_k": 3},
    "adx_14": {"type": "adx", "period": 14},
    "atr_14": {"type": "atr", "period": 14},
    "ema_20": {"type": "ema", "period": 20},
    "bands": {"type": "bollinger", "period": 20, "multiplier": 2.0},
    "cci_20": {"type": "cci", "period": 20},
    "mfi_14": {"type": "mfi", "period": 14},
    "roc_10": {"type": "roc", "period": 10},
}
THIRDS = {"low": [0, 25, 45], "middle": [30, 45, 55, 70], "high": [55, 75, 100]}
FUZZY_SETS: dict[str, dict[str, Any]] = {
    "rsi_state": {"indicator": "rsi_14", **THIRDS},
    "stoch_k": {
        "indicator": "stoch.k",
        "low": [0, 10, 25],
        "middle": [20, 40, 60, 80],
        "high": [75, 90, 100],
    },
    "stoch_d": {"indicator": "stoch.d", "low": [0, 0, 30], "high": [70, 100, 100]},
    "mfi_state": {"indicator": "mfi_14", **THIRDS},
    "trend": {"indicator": "adx_14", "weak": [0, 0, 15, 25], "strong": [20, 40, 60]},
    "macd_side": {
        "indicator": "macd.histogram",
        "below": {"type": "sigmoid", "parameters": [0.0, -40.0]},
        "above": {"type": "sigmoid", "parameters": [0.0, 40.0]},
    },
    "macd_line": {"indicator": "macd.line", "near": {"type": "gaussian", "parameters": [0.0, 0.1]}},
    "cci_state": {"indicator": "cci_20", "low": [-300, -150, -50], "high": [50, 150, 300]},
    "change": {"indicator": "roc_10", "down": [-2, -0.5, 0], "flat": [-0.3, 0, 0.3], "up": [0, 0.5, 2]},
}
RAW = ("atr_14", "ema_20", "bands.upper", "bands.lower", "macd.signal")


def strategy() -> Strategy:
    """26 features over the ten indicators: 18 with flanks, 3 curves, 5 raw readings."""
    inputs: list[dict[str, Any]] = [{"fuzzy_set": name} for name in FUZZY_SETS]
    inputs += [{"raw_indicator": name, "normalization": "zscore"} for name in RAW]
    return parse_strategy(
        {
            "name": "benchmark",
            "version": "3.0",
            "training_data": {
                "symbols": {"mode": "single", "symbol": SYMBOL},
                "timeframes": {"mode": "single", "timeframe": TIMEFRAME},
            },
            "indicators": INDICATORS,
            "fuzzy_sets": FUZZY_SETS,
            "nn_inputs": inputs,
        }
    )


def random_walk() -> Bars:
    random = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-3, BARS)))
    opening = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opening, close) * (1.0 + random.uniform(0.0, 1e-3, BARS))
    low = np.minimum(opening, close) * (1.0 - random.uniform(0.0, 1e-3, BARS))
    return Bars(np.arange(BARS) * 60, opening, high, low, close, random.uniform(1e3, 1e5, BARS))


def by_talib(bars: Bars) -> list[Any]:
    """The floor: the calls that any user of TA-Lib writes."""
    high, low, close, volume = bars.high, bars.low, bars.close, bars.volume
    return [
        talib.RSI(close, 14),
        talib.MACD(close, 12, 26, 9),
        talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3),
        talib.ADX(high, low, close, 14),
        talib.ATR(high, low, close, 14),
        talib.EMA(close, 20),
        talib.BBANDS(close, timeperiod=20, nbdevup=2.0, nbdevdn=2.0),
        talib.CCI(high, low, close, 20),
        talib.MFI(high, low, close, volume, 14),
        talib.ROC(close, 10),
    ]


def main() -> int:
    torch.set_num_threads(1)  # TA-Lib has no more either
    bars, written = random_walk(), strategy()
    market = Market(TIMEFRAME, {(SYMBOL, TIMEFRAME): bars})
    bare: list[float] = []
    whole: list[float] = []
    for number in range(ROUNDS + 1):  # a first round is not counted
        for step in ("bare", "whole") if number % 2 else ("whole", "bare"):
            begun = time.perf_counter()
            if step == "bare":
                by_talib(bars)
                bare.append(time.perf_counter() - begun)
            else:
                found = compute_features(market, SYMBOL, written)
                whole.append(time.perf_counter() - begun)
                assert found.values.shape == (BARS, len(found.names))
                del found
    floor, features = statistics.median(bare[1:]), statistics.median(whole[1:])
    ratio = features / floor
    print(
        f"features: {BARS:,} bars, {len(INDICATORS)} indicators, {len(written.features())} features, "
        f"{ROUNDS} rounds: TA-Lib {floor * 1e3:.0f} ms, features {features * 1e3:.0f} ms, "
        f"ratio {ratio:.2f} (limit {LIMIT:.1f})"
    )
    return 1 if ratio > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
