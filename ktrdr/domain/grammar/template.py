"""The file that `ktrdr strategies new` starts a strategy with: valid, runnable, and explained."""

from __future__ import annotations

TEMPLATE = """\
# A strategy in grammar 3.0. Check it: ktrdr strategies validate FILE
name: "{name}"
version: "3.0"
description: RSI and MACD read as fuzzy sets
training_data:
  symbols: {{mode: single, symbol: NASDAQ}} # or {{mode: multi_symbol, list: [A, B]}}; ktrdr data list
  timeframes: {{mode: single, timeframe: 1d}} # or mode: multi_timeframe, list: [1d, 1w]
  # date_range: {{start: 1999-01-04, end: 2012-12-31}} # all of the development segment when left out
  history_required: 100 # warm-up bars dropped before learning starts
indicators: # the key is the id that the rest of the file uses
  rsi_14: {{type: rsi, period: 14, source: close}}
  macd_12_26_9: {{type: macd, fast_period: 12, slow_period: 26, signal_period: 9}}
fuzzy_sets: # each reads one indicator, or one output of it after a dot
  rsi_momentum:
    indicator: rsi_14
    oversold: [0, 25, 40] # 3 points: a triangle; 4: a trapezoid; from left to right
    neutral: [30, 45, 55, 70]
    overbought: [60, 75, 100]
  macd_trend:
    indicator: macd_12_26_9.histogram
    bearish: {{type: sigmoid, parameters: [0.0, -0.2]}} # centre, slope; also gaussian: mean, sigma
    bullish: {{type: sigmoid, parameters: [0.0, 0.2]}}
nn_inputs: # what the network sees, in this order
  - {{fuzzy_set: rsi_momentum, timeframes: all}}
  - {{fuzzy_set: macd_trend, timeframes: all}}
  - {{raw_indicator: rsi_14, timeframes: all, normalization: zscore}} # fitted on training rows only
model:
  type: mlp # lstm and gru: {{sequence_length: 20, hidden_size: 32, num_layers: 1, dropout: 0.1}}
  # learn_memberships: true # train the points of the fuzzy sets too
  architecture: {{hidden_layers: [32, 16], activation: relu, dropout: 0.1}}
decisions:
  output_format: classification
  num_classes: 3 # down, flat, up
  confidence_threshold: 0.4 # below it, no position
  cost_model: {{round_trip_cost: 0.003}}
training:
  epochs: 60
  batch_size: 256
  learning_rate: 0.001
  loss: cross_entropy
  # optimizer: adamw # adam when left out; sgd takes momentum
  # lr_scheduler: {{type: cosine}} # also step, exponential, plateau
  # early_stopping: {{enabled: true, patience: 15}}
  labels: {{source: forward_return, horizon: 5}} # bars ahead; also zigzag, triple_barrier, regime, context
  walk_forward: {{folds: 4, initial_fraction: 0.4}} # blocks by time; or a data_split
  ensemble: 3 # networks a fold
"""


def template(name: str) -> str:
    """A starting file. `name` must be a strategy's name already."""
    return TEMPLATE.format(name=name)
