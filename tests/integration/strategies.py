"""A strategy small enough for a test and real enough to train."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "name": "small",
    "version": "3.0",
    "training_data": {
        "symbols": {"mode": "single", "symbol": "NASDAQ"},
        "timeframes": {"mode": "single", "timeframe": "1d"},
        "history_required": 50,
    },
    "indicators": {"rsi_14": {"type": "rsi", "period": 14}, "roc_10": {"type": "roc", "period": 10}},
    "fuzzy_sets": {
        "rsi_state": {"indicator": "rsi_14", "low": [0, 25, 45], "high": [55, 75, 100]},
        "roc_state": {"indicator": "roc_10", "down": [-20, -5, 0], "up": [0, 5, 20]},
    },
    "nn_inputs": [
        {"fuzzy_set": "rsi_state", "timeframes": "all"},
        {"fuzzy_set": "roc_state", "timeframes": "all"},
    ],
    "model": {"type": "mlp", "architecture": {"hidden_layers": [16], "activation": "relu", "dropout": 0.1}},
    "decisions": {"output_format": "classification", "num_classes": 3, "confidence_threshold": 0.34},
    "training": {
        "epochs": 120,
        "batch_size": 256,
        "learning_rate": 0.003,
        "walk_forward": {"folds": 2, "initial_fraction": 0.5},
        "ensemble": 1,
        "labels": {"source": "forward_return", "horizon": 5},
    },
}

# Gates that let any finite result through, so that a test reaches every phase.
OPEN_GATES = {
    "KTRDR_GATE_MIN_BALANCED_ACCURACY": "0",
    "KTRDR_GATE_MIN_SHARPE": "-10",
    "KTRDR_GATE_MAX_DRAWDOWN": "1",
    "KTRDR_GATE_MIN_TRADES": "0",
}
