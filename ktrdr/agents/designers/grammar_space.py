"""The designer's part of the strategy grammar: a few parameters, and the strategy they stand for.

Only indicators whose scale does not follow the price are in it: what is learnt at an index of 1,500
must mean the same at 4,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import DatasetSpec

Params = Mapping[str, Any]

# Lowest and highest reading of each oscillator that is worth a fuzzy set.
OSCILLATORS: Mapping[str, tuple[float, float]] = {
    "rsi": (0.0, 100.0),
    "mfi": (0.0, 100.0),
    "williamsr": (-100.0, 0.0),
    "cci": (-200.0, 200.0),
}
LAYERS: Mapping[str, list[int]] = {"16": [16], "32": [32], "32-16": [32, 16], "64-32": [64, 32]}
NAMES = (
    "oscillator",
    "oscillator_period",
    "band",
    "fast_roc",
    "slow_roc",
    "trend_strength",
    "horizon",
    "layers",
    "dropout",
    "learning_rate",
    "confidence",
)
ADX_PERIOD = 14
WARM_UP_BARS = 100
ROUND_TRIP_COST = 0.003
# Enough real work to be seen and to tell luck from edge: 4 folds and the final fit, 3 networks each.
TRAINING: Mapping[str, Any] = {
    "epochs": 100,
    "batch_size": 256,
    "walk_forward": {"folds": 4, "initial_fraction": 0.4},
    "ensemble": 3,
}


def config_of(spec: DatasetSpec, params: Params) -> dict[str, Any]:
    """The strategy that `params` stand for, on the development bars of a data set."""
    indicators, fuzzy_sets, inputs = _features(params)
    return {
        "name": f"offline_{sha256_of(dict(params))[:10]}",
        "version": "3.0",
        "description": "Proposed by the offline designer",
        "training_data": {
            "symbols": {"mode": "single", "symbol": spec.symbol},
            "timeframes": {"mode": "single", "timeframe": spec.timeframe},
            "date_range": {"start": spec.start.isoformat(), "end": spec.development_end.isoformat()},
            "history_required": WARM_UP_BARS,
        },
        "indicators": indicators,
        "fuzzy_sets": fuzzy_sets,
        "nn_inputs": inputs,
        "model": {
            "type": "mlp",
            "architecture": {
                "hidden_layers": list(LAYERS[params["layers"]]),
                "activation": "relu",
                "dropout": params["dropout"],
            },
        },
        "decisions": {
            "output_format": "classification",
            "confidence_threshold": params["confidence"],
            "cost_model": {"round_trip_cost": ROUND_TRIP_COST},
        },
        "training": {
            **TRAINING,
            "learning_rate": params["learning_rate"],
            "labels": {"source": "forward_return", "horizon": params["horizon"]},
        },
    }


def params_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters to be read off a strategy; None when it lacks a part that this designer writes."""
    try:
        return _read(config)
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError):
        return None


def _features(params: Params) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    kind, period = params["oscillator"], params["oscillator_period"]
    low, high = OSCILLATORS[kind]
    middle, band = (low + high) / 2.0, (high - low) * params["band"] / 100.0
    indicators: dict[str, Any] = {
        "oscillator": {"type": kind, "period": period},
        "roc_fast": {"type": "roc", "period": params["fast_roc"]},
        "roc_slow": {"type": "roc", "period": params["slow_roc"]},
    }
    fuzzy_sets = {
        "stretch": {
            "indicator": "oscillator",
            "oversold": {"type": "triangular", "parameters": [low, low + band, middle]},
            "neutral": {"type": "triangular", "parameters": [low + band, middle, high - band]},
            "overbought": {"type": "triangular", "parameters": [middle, high - band, high]},
        }
    }
    raw = ["oscillator", "roc_fast", "roc_slow"]
    if params["trend_strength"]:
        indicators["adx"] = {"type": "adx", "period": ADX_PERIOD}
        raw.append("adx")
    inputs: list[dict[str, Any]] = [{"fuzzy_set": "stretch", "timeframes": "all"}]
    inputs += [{"raw_indicator": name, "timeframes": "all", "normalization": "zscore"} for name in raw]
    return indicators, fuzzy_sets, inputs


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    indicators, training = config["indicators"], config["training"]
    architecture = config["model"]["architecture"]
    kind = str(indicators["oscillator"]["type"]).lower()
    low, high = OSCILLATORS[kind]
    peak = _peak(config["fuzzy_sets"]["stretch"])
    layers = list(architecture["hidden_layers"])
    return {
        "oscillator": kind,
        "oscillator_period": _period(indicators["oscillator"]),
        "band": round(100.0 * (peak - low) / (high - low)),
        "fast_roc": _period(indicators["roc_fast"]),
        "slow_roc": _period(indicators["roc_slow"]),
        "trend_strength": "adx" in indicators,
        "horizon": int(training["labels"]["horizon"]),
        "layers": next(name for name, sizes in LAYERS.items() if sizes == layers),
        "dropout": float(architecture["dropout"]),
        "learning_rate": float(training["learning_rate"]),
        "confidence": float(config["decisions"]["confidence_threshold"]),
    }


def _period(indicator: Mapping[str, Any]) -> int:
    """The period as written by a person, or as in a strategy's canonical form."""
    return int(indicator.get("parameters", indicator)["period"])


def _peak(fuzzy_set: Mapping[str, Any]) -> float:
    """Where "oversold" is fully true, in either form."""
    return float(fuzzy_set.get("labels", fuzzy_set)["oversold"]["parameters"][1])
