"""What the network sees: memberships of fuzzy sets and raw readings, in the grammar's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.fuzzy import RAW, kind_of, shapes_of, whole
from ktrdr.data.indicators import outputs
from ktrdr.data.inputs import Inputs, resolve
from ktrdr.data.joining import last_closed
from ktrdr.data.market import Market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.market import TIMEFRAME_SECONDS
from ktrdr.domain.strategies import Strategy

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
BLOCK = 65_536  # rows: few enough for a core's cache, and enough to be worth a call


@dataclass(frozen=True, eq=False)
class Readings:
    """`values` (n, r), one row a base bar: what a layer of fuzzy sets takes. NaN until it is warm."""

    values: Singles
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """`values` (n, k), one row a base bar, each column contiguous, as it was computed.

    `scaled` (k,) says which columns a scaler must fit; its `apply` gives the rows that are trained on.
    """

    values: Singles
    names: tuple[str, ...]
    scaled: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and deviation per column (k,), fitted on training rows; 0 and 1 where nothing is scaled."""

    mean: Floats
    deviation: Floats

    def apply(self, values: Singles) -> Singles:
        """(m, k) → (m, k), in memory of its own and each row contiguous; computed in double precision."""
        scaled = np.array(values, dtype=np.float32, order="C")
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
    for number, column in _columns(market, symbol, strategy, inputs):
        values[:, number] = column
    return Readings(values, tuple(one.name for one in inputs.readings))


def compute_features(market: Market, symbol: str, strategy: Strategy) -> FeatureMatrix:
    """Every feature of every base bar of `symbol`, each from bars that had closed by that bar's close.

    Memberships are those of the fixed layer, bit for bit; raw readings are not scaled yet.
    """
    inputs = resolve(strategy)
    bars = len(market.bars(symbol, market.base))
    rows = np.empty((len(inputs.features), whole(bars)), dtype=np.float32)
    for number, column in _columns(market, symbol, strategy, inputs):
        _fill(rows, inputs, number, column)
    scaled = np.array([one.shape is None for one in inputs.features])
    return FeatureMatrix(rows[:, :bars].T, tuple(one.name for one in inputs.features), scaled)


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


def fit_scaler(training: Sequence[tuple[FeatureMatrix, int, int]]) -> Scaler:
    """Mean and deviation over the training rows [first, last) of every symbol together, in double precision.

    A column that hardly differs from its mean in single precision is constant, and is not scaled.
    """
    scaled = training[0][0].scaled
    rows = np.concatenate([matrix.values[begin:end][:, scaled] for matrix, begin, end in training])
    mean, deviation = np.zeros(len(scaled)), np.ones(len(scaled))
    means = rows.mean(axis=0, dtype=np.float64)
    deviations = rows.std(axis=0, dtype=np.float64)
    use = deviations > np.finfo(np.float32).eps * np.abs(means)
    mean[scaled], deviation[scaled] = np.where(use, means, 0.0), np.where(use, deviations, 1.0)
    return Scaler(mean, deviation)


def _fill(rows: Singles, inputs: Inputs, number: int, column: Floats) -> None:
    """The features that are made from one reading (n,), into their rows of (k, at least n)."""
    block = np.zeros((1, min(BLOCK, whole(len(column)))), dtype=np.float32)
    source = torch.from_numpy(block)
    for at in _stretches(inputs, number):
        if inputs.features[at[0]].shape is None:
            rows[at[0], : len(column)] = column
            continue
        shapes, into = shapes_of(inputs, at), torch.from_numpy(rows[at[0] : at[-1] + 1])
        spare = torch.empty((len(at), block.shape[1]))
        for first in range(0, len(column), BLOCK):
            values = column[first : first + BLOCK]
            block[0, : len(values)] = values
            size = whole(len(values))
            shapes(source[:, :size], into[:, first : first + size], spare[:, :size])


def _stretches(inputs: Inputs, number: int) -> Iterator[list[int]]:
    """The features of a reading that stand side by side and are computed alike; raw ones alone."""
    features = enumerate(inputs.features)
    for (reading, kind), alike in groupby(features, lambda one: (one[1].reading, kind_of(inputs, one[1]))):
        if reading == number:
            at = [index for index, _ in alike]
            yield from [[index] for index in at] if kind == RAW else [at]


def _columns(market: Market, symbol: str, strategy: Strategy, inputs: Inputs) -> Iterator[tuple[int, Floats]]:
    """Each reading's index and values (n,), on the symbol's base bars. An indicator is computed once.

    Its outputs are let go before the next one is computed, which then finds memory that is in use already.
    """
    base = market.bars(symbol, market.base)
    wanted: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(inputs.readings):
        wanted.setdefault((one.timeframe, one.indicator), []).append(number)
    rows: dict[tuple[str, str], NDArray[np.int64]] = {}
    for (timeframe, name), numbers in wanted.items():
        indicator = strategy.indicators[name]
        source = indicator.data_source or symbol
        bars = market.bars(source, timeframe)
        if bars is not base and (source, timeframe) not in rows:
            rows[source, timeframe] = last_closed(
                base, TIMEFRAME_SECONDS[market.base], bars, TIMEFRAME_SECONDS[timeframe]
            )
        computed = outputs(bars, indicator)
        for number in numbers:
            column = computed[inputs.readings[number].output]
            if bars is not base:
                column = np.append(column, np.nan)[rows[source, timeframe]]  # -1, none has closed: the NaN
            yield number, column
        del computed, column
