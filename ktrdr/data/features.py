"""What the network sees: memberships of fuzzy sets and raw readings, in the grammar's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.fuzzy import FuzzyLayer
from ktrdr.data.indicators import outputs
from ktrdr.data.inputs import Inputs, resolve
from ktrdr.data.joining import last_closed
from ktrdr.data.market import Market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.market import TIMEFRAME_SECONDS
from ktrdr.domain.strategies import Strategy

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
BLOCK = 4096  # rows; what is computed of a block stays in a core's cache


@dataclass(frozen=True, eq=False)
class Readings:
    """`values` (n, r), one row a base bar: what a layer of fuzzy sets takes. NaN until it is warm."""

    values: Singles
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """`values` (n, k), one row a base bar; `scaled` (k,) says which columns a scaler must fit."""

    values: Singles
    names: tuple[str, ...]
    scaled: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and deviation per column (k,), fitted on training rows; 0 and 1 where nothing is scaled."""

    mean: Floats
    deviation: Floats

    def apply(self, values: Singles) -> Singles:
        """(m, k) → (m, k), in memory of its own; computed in double precision."""
        scaled = values.astype(np.float32)
        for column in np.flatnonzero((self.mean != 0.0) | (self.deviation != 1.0)):
            scaled[:, column] = (values[:, column] - self.mean[column]) / self.deviation[column]
        return scaled

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scaler:
        return cls(np.array(value["mean"]), np.array(value["deviation"]))


def readings(market: Market, symbol: str, strategy: Strategy) -> Readings:
    """Every reading of every base bar of `symbol`, each from bars that had closed by that bar's close."""
    inputs = resolve(strategy)
    values = np.empty((len(market.bars(symbol, market.base)), len(inputs.readings)), dtype=np.float32)
    for number, column in enumerate(_columns(market, symbol, strategy, inputs)):
        values[:, number] = column
    return Readings(values, tuple(one.name for one in inputs.readings))


@overload
def compute_features(market: Market, symbol: str, strategy: Strategy) -> FeatureMatrix: ...
@overload
def compute_features(market: Bars, symbol: Strategy) -> FeatureMatrix: ...
def compute_features(
    market: Market | Bars, symbol: str | Strategy, strategy: Strategy | None = None
) -> FeatureMatrix:
    """Every feature of every base bar of `symbol`, each from bars that had closed by that bar's close.

    Memberships are those of the fixed layer, raw readings are not scaled yet. One series of bars with
    its strategy stands for a market of one series.
    """
    if isinstance(symbol, Strategy):
        strategy, symbol = symbol, symbol.training_data.symbols.all[0]
    assert strategy is not None
    if isinstance(market, Bars):
        base = strategy.training_data.timeframes.base
        market = Market(base, {(symbol, base): market})
    inputs = resolve(strategy)
    columns = [*_columns(market, symbol, strategy, inputs)]
    layer = FuzzyLayer(inputs)
    values = np.empty((len(market.bars(symbol, market.base)), len(inputs.features)), dtype=np.float32)
    block = np.empty((len(columns), BLOCK), dtype=np.float32)
    into, source = torch.from_numpy(values), torch.from_numpy(block)
    with torch.no_grad():
        for first in range(0, len(values), BLOCK):
            size = min(BLOCK, len(values) - first)
            for row, column in zip(block, columns, strict=True):
                row[:size] = column[first : first + size]
            into[first : first + size] = layer.degrees(source[:, :size]).t()
    scaled = np.array([one.shape is None for one in inputs.features])
    return FeatureMatrix(values, tuple(one.name for one in inputs.features), scaled)


def first_warm(matrix: FeatureMatrix, earliest: int) -> int:
    """The first row from `earliest` on where every feature is a number.

    Raises StepFailed when there is none, and when a feature later than that is not a finite number.
    """
    finite = np.isfinite(matrix.values)
    warm = np.flatnonzero(finite.all(axis=1))
    if not len(warm):
        never = [name for name, one in zip(matrix.names, finite.T, strict=True) if not one.any()]
        which = f" Never a number: {', '.join(never)}." if never else ""
        raise StepFailed(
            "NOT_ENOUGH_DATA",
            f"No bar has all its features; the indicators' periods are too long for the bars.{which}",
        )
    first = max(int(warm[0]), earliest)
    gaps = np.argwhere(~finite[first:])
    if len(gaps):
        row, column = (int(one) for one in gaps[0])
        raise StepFailed(
            "NOT_FINITE",
            f"Feature {matrix.names[column]} of bar {first + row} is {matrix.values[first + row, column]}. "
            "Look for bad bars there, or drop the input.",
        )
    return first


Rows = tuple[FeatureMatrix, int, int]


@overload
def fit_scaler(training: Sequence[Rows]) -> Scaler: ...
@overload
def fit_scaler(training: FeatureMatrix, first: int, last: int) -> Scaler: ...
def fit_scaler(training: Sequence[Rows] | FeatureMatrix, first: int = 0, last: int = 0) -> Scaler:
    """Mean and deviation over the training rows [first, last) of every symbol together, in double precision.

    A column that hardly differs from its mean in single precision is constant, and is not scaled.
    """
    ranges = [(training, first, last)] if isinstance(training, FeatureMatrix) else training
    scaled = ranges[0][0].scaled
    rows = np.concatenate([matrix.values[begin:end][:, scaled] for matrix, begin, end in ranges])
    mean, deviation = np.zeros(len(scaled)), np.ones(len(scaled))
    means = rows.mean(axis=0, dtype=np.float64)
    deviations = rows.std(axis=0, dtype=np.float64)
    use = deviations > np.finfo(np.float32).eps * np.abs(means)
    mean[scaled], deviation[scaled] = np.where(use, means, 0.0), np.where(use, deviations, 1.0)
    return Scaler(mean, deviation)


def _columns(market: Market, symbol: str, strategy: Strategy, inputs: Inputs) -> Iterator[Floats]:
    """Each reading (n,), computed once an indicator and brought to the symbol's base bars."""
    base = market.bars(symbol, market.base)
    computed: dict[tuple[str, str], tuple[Floats, ...]] = {}
    rows: dict[tuple[str, str], NDArray[np.int64]] = {}
    for one in inputs.readings:
        indicator = strategy.indicators[one.indicator]
        source = indicator.data_source or symbol
        bars = market.bars(source, one.timeframe)
        if (one.timeframe, one.indicator) not in computed:
            computed[one.timeframe, one.indicator] = outputs(bars, indicator)
        column = computed[one.timeframe, one.indicator][one.output]
        if bars is not base:
            if (source, one.timeframe) not in rows:
                rows[source, one.timeframe] = last_closed(
                    base, TIMEFRAME_SECONDS[market.base], bars, TIMEFRAME_SECONDS[one.timeframe]
                )
            column = np.append(column, np.nan)[rows[source, one.timeframe]]  # -1, none has closed: the NaN
        yield column
