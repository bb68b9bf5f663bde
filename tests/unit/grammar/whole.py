"""The example of the specification, and a way to change one place in it."""

from __future__ import annotations

import copy
from typing import Any

from ktrdr.domain.grammar.reading import read_strategy

TEXT = """\
name: momentum_demo
version: "3.0"
description: RSI and MACD read as fuzzy sets
training_data:
  symbols:    {mode: single, symbol: NASDAQ}
  timeframes: {mode: single, timeframe: 1d}
  date_range: {start: 1999-01-04, end: 2012-12-31}
  history_required: 100
indicators:
  rsi_14: {type: rsi, period: 14, source: close}
  macd_12_26_9: {type: macd, fast_period: 12, slow_period: 26, signal_period: 9}
fuzzy_sets:
  rsi_momentum:
    indicator: rsi_14
    oversold:   [0, 25, 40]
    overbought: {type: triangular, parameters: [60, 75, 100]}
  macd_trend:
    indicator: macd_12_26_9.histogram
    bullish: {type: gaussian, parameters: [1.0, 0.5]}
nn_inputs:
  - {fuzzy_set: rsi_momentum, timeframes: all}
  - {fuzzy_set: macd_trend, timeframes: [1d]}
  - {raw_indicator: rsi_14, timeframes: all, normalization: zscore}
model:
  type: mlp
  architecture: {hidden_layers: [64, 32], activation: relu, dropout: 0.2}
decisions:
  output_format: classification
  num_classes: 3
  confidence_threshold: 0.5
  cost_model: {round_trip_cost: 0.003, min_edge_multiplier: 1.5}
  position_awareness: true
  filters: {min_signal_separation: 4, volume_filter: false}
training:
  epochs: 100
  batch_size: 256
  learning_rate: 0.001
  loss: cross_entropy
  gradient_clip: 1.0
  lr_scheduler: {type: cosine}
  early_stopping: {enabled: true, patience: 15}
  data_split: {train: 0.7, validation: 0.15, test: 0.15}
  labels: {source: zigzag, zigzag_threshold: 0.02, label_lookahead: 20}
"""


def whole() -> dict[str, Any]:
    value = read_strategy(TEXT).value
    assert isinstance(value, dict)
    return value


def changed(**places: Any) -> dict[str, Any]:
    """The example with values set at paths; `__` stands for the dot, None removes the key."""
    config = copy.deepcopy(whole())
    for written, value in places.items():
        *parents, last = written.split("__")
        part: Any = config
        for name in parents:
            part = part[int(name)] if isinstance(part, list) else part[name]
        if value is None:
            del part[last]
        else:
            part[int(last) if isinstance(part, list) else last] = value
    return config
