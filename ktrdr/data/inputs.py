"""What a strategy's network is fed: which indicator outputs are read, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass

from ktrdr.domain.grammar.indicators import CATALOGUE
from ktrdr.domain.strategies import Membership, Strategy, split_reference


@dataclass(frozen=True)
class Reading:
    """One output of one indicator at one timeframe; `output` counts in the catalogue's order."""

    name: str
    timeframe: str
    indicator: str
    output: int


@dataclass(frozen=True)
class Feature:
    """One input of the network, made from the reading with index `reading`.

    `shape` is the index of its membership function; None: the reading itself, to be scaled.
    """

    name: str
    reading: int
    shape: int | None


@dataclass(frozen=True)
class Shape:
    """A label of a fuzzy set. Its timeframes share it, as they do in the strategy's file."""

    fuzzy_set: str
    label: str
    membership: Membership


@dataclass(frozen=True)
class Inputs:
    """Features in the grammar's order, and the distinct readings and shapes that they are made from."""

    readings: tuple[Reading, ...]
    shapes: tuple[Shape, ...]
    features: tuple[Feature, ...]


def resolve(strategy: Strategy) -> Inputs:
    """The inputs of a valid strategy: as written, then by timeframe, then by label as written.

    `macd` and `macd.line` are one reading: without a dot an indicator is its first output.
    """
    readings: dict[tuple[str, str, int], Reading] = {}
    shapes: dict[tuple[str, str], Shape] = {}
    features: list[Feature] = []
    for one in strategy.nn_inputs:
        for timeframe in strategy.training_data.timeframes.all if one.timeframes == "all" else one.timeframes:
            if one.raw_indicator is not None:
                read = _read(readings, strategy, timeframe, one.raw_indicator)
                features.append(Feature(f"{timeframe}_{one.raw_indicator}", read, None))
                continue
            name = str(one.fuzzy_set)
            fuzzy = strategy.fuzzy_sets[name]
            read = _read(readings, strategy, timeframe, fuzzy.indicator)
            for label, membership in fuzzy.labels.items():
                shapes.setdefault((name, label), Shape(name, label, membership))
                shape = list(shapes).index((name, label))
                features.append(Feature(f"{timeframe}_{name}_{label}", read, shape))
    return Inputs(tuple(readings.values()), tuple(shapes.values()), tuple(features))


def _read(
    readings: dict[tuple[str, str, int], Reading], strategy: Strategy, timeframe: str, reference: str
) -> int:
    """The index of a reading; it is added when it is new."""
    indicator, output = split_reference(reference)
    outputs = CATALOGUE[strategy.indicators[indicator].type][1]
    number = 0 if output is None else outputs.index(output)
    key = (timeframe, indicator, number)
    if key not in readings:
        end = indicator if len(outputs) == 1 else f"{indicator}.{outputs[number]}"
        readings[key] = Reading(f"{timeframe}_{end}", timeframe, indicator, number)
    return list(readings).index(key)
