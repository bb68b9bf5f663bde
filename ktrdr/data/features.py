"""What the network sees: memberships of fuzzy sets and scaled indicators, in the grammar's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.market import Market
from ktrdr.data.indicators import compute
from ktrdr.domain.strategies import Membership, Strategy, split_reference

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """`values` (n, k), one row a bar; `scaled` (k,) says which columns a scaler must fit."""

    values: Floats
    names: tuple[str, ...]
    scaled: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and deviation per column, fitted on training rows; 0 and 1 where nothing is scaled."""

    mean: Floats
    deviation: Floats

    def apply(self, values: Floats) -> Floats:
        """(m, k) → (m, k)."""
        return np.asarray((values - self.mean) / self.deviation)

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scaler:
        return cls(np.array(value["mean"]), np.array(value["deviation"]))


def compute_features(market: Market, symbol: str, strategy: Strategy) -> FeatureMatrix:
    """Every feature of every bar, each from bars up to its own."""
    bars = market.bars(symbol, market.base)
    columns: list[Floats] = []
    names: list[str] = []
    scaled: list[bool] = []
    timeframe = strategy.training_data.timeframes.base
    for one in strategy.nn_inputs:
        if one.raw_indicator is not None:
            columns.append(_indicator(bars, strategy, one.raw_indicator))
            names.append(f"{timeframe}_{one.raw_indicator}")
            scaled.append(True)
            continue
        fuzzy = strategy.fuzzy_sets[str(one.fuzzy_set)]
        values = _indicator(bars, strategy, fuzzy.indicator)
        for label, shape in fuzzy.labels.items():
            columns.append(membership(values, shape))
            names.append(f"{timeframe}_{one.fuzzy_set}_{label}")
            scaled.append(False)
    return FeatureMatrix(np.column_stack(columns), tuple(names), np.array(scaled))


def fit_scaler(parts: Sequence[tuple[FeatureMatrix, int, int]]) -> Scaler:
    """Fitted on rows [first, last) of each matrix: the training rows and nothing after them."""
    rows = np.concatenate([matrix.values[first:last] for matrix, first, last in parts])
    matrix = parts[0][0]
    deviation = rows.std(axis=0)
    use = matrix.scaled & (deviation > 0.0)
    return Scaler(np.where(use, rows.mean(axis=0), 0.0), np.where(use, deviation, 1.0))


def membership(values: Floats, shape: Membership) -> Floats:
    """Degree of membership in [0, 1], (n,); NaN stays NaN. Outside its points a shape is 0.

    Triangular and trapezoidal: Zadeh (1965), linear flanks; a flank of width zero is a step.
    Gaussian: exp(-(x - mean)² / (2 sigma²)); sigmoid: 1 / (1 + exp(-slope (x - centre))).
    """
    p = shape.parameters
    if shape.type == "gaussian":
        return np.asarray(np.exp(-((values - p[0]) ** 2) / (2.0 * p[1] ** 2)))
    if shape.type == "sigmoid":
        return np.asarray(1.0 / (1.0 + np.exp(-p[1] * (values - p[0]))))
    left, top, plateau, right = (p[0], p[1], p[1], p[2]) if shape.type == "triangular" else p
    rise = (values - left) / (top - left) if top > left else np.where(values >= left, 1.0, 0.0)
    fall = (right - values) / (right - plateau) if right > plateau else np.where(values <= right, 1.0, 0.0)
    degrees = np.clip(np.minimum(rise, fall), 0.0, 1.0)
    return np.asarray(np.where(np.isnan(values), np.nan, degrees))


def _indicator(bars: Bars, strategy: Strategy, reference: str) -> Floats:
    name, output = split_reference(reference)
    return compute(bars, strategy.indicators[name], output)
