"""From trained networks to a target position a bar: -1, 0 or 1, decided at the bar's close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ktrdr.data.features import Scaler, Singles, compute_features, readings
from ktrdr.data.market import Market
from ktrdr.domain.strategies import Strategy
from ktrdr.training.compatibility import check_model
from ktrdr.training.filters import without_thin_entries
from ktrdr.training.model import CHUNK, load_network, predict
from ktrdr.training.samples import samples_of

Tensors = Mapping[str, torch.Tensor]
Targets = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Signal:
    """One symbol: `targets` (n,) of its bars, which may be other than 0 in its segment [first, last)."""

    symbol: str
    targets: Targets
    first: int
    last: int


def validation_signals(
    tensors: Tensors, manifest: Mapping[str, Any], market: Market, strategy: Strategy
) -> tuple[Signal, ...]:
    """Of each symbol that has a validation segment, in the strategy's order: each block by its own fold's
    networks, none of which saw a bar of it or a label that did."""
    check_model(manifest, strategy)
    found = []
    for number, symbol in enumerate(strategy.training_data.symbols.all):
        blocks = [(fold, *one["block"][number]) for fold, one in enumerate(manifest["folds"])]
        predicted = [(fold, first, last) for fold, first, last in blocks if last > first]
        if predicted:
            found.append(_signal(tensors, manifest, market, strategy, symbol, predicted))
    return tuple(found)


def holdout_signals(
    tensors: Tensors,
    manifest: Mapping[str, Any],
    market: Market,
    strategy: Strategy,
    firsts: Mapping[str, int],
) -> tuple[Signal, ...]:
    """Of each symbol from its bar `firsts[symbol]` on, by the networks that are for bars after all of
    development; a symbol without such a bar is left out."""
    check_model(manifest, strategy)
    final = len(manifest["folds"]) - 1
    ends = {symbol: len(market.bars(symbol, market.base)) for symbol in firsts}
    return tuple(
        _signal(tensors, manifest, market, strategy, symbol, [(final, first, ends[symbol])])
        for symbol, first in firsts.items()
        if ends[symbol] > first
    )


def _signal(
    tensors: Tensors,
    manifest: Mapping[str, Any],
    market: Market,
    strategy: Strategy,
    symbol: str,
    blocks: Sequence[tuple[int, int, int]],
) -> Signal:
    """The blocks (fold, first, last) of one symbol, one after the other."""
    inputs = _inputs(market, symbol, strategy)
    targets = np.zeros(len(inputs), dtype=np.int8)
    for fold, first, last in blocks:
        targets[first:last] = _decide(tensors, manifest, inputs, strategy, fold, first, last)
    filters = strategy.decisions.filters
    if filters is not None and filters.volume_filter:
        targets = without_thin_entries(targets, market.bars(symbol, market.base).volume)
    return Signal(symbol, targets, blocks[0][1], blocks[-1][2])


def _inputs(market: Market, symbol: str, strategy: Strategy) -> Singles:
    """What the networks are given of each bar."""
    if strategy.model.learn_memberships:
        return readings(market, symbol, strategy).values
    return compute_features(market, symbol, strategy).values


def _decide(
    tensors: Tensors,
    manifest: Mapping[str, Any],
    inputs: Singles,
    strategy: Strategy,
    fold: int,
    first: int,
    last: int,
) -> Targets:
    """What the ensemble's mean says of the bars [first, last)."""
    torch.set_num_threads(1)
    size = int(manifest["ensemble"])
    networks = [load_network(tensors, index, strategy) for index in range(fold * size, (fold + 1) * size)]
    targets = np.empty(last - first, dtype=np.int8)
    for begin in range(first, last, CHUNK):  # a million bars with all their inputs scaled would be large
        end = min(begin + CHUNK, last)
        mean = _predict_mean(networks, manifest, inputs, strategy, fold, begin, end)
        targets[begin - first : end - first] = _positions(mean, manifest, strategy, fold)
    return targets


def _predict_mean(
    networks: Sequence[nn.Module],
    manifest: Mapping[str, Any],
    inputs: Singles,
    strategy: Strategy,
    fold: int,
    first: int,
    last: int,
) -> torch.Tensor:
    scaler = Scaler.from_json(manifest["folds"][fold]["scaler"])
    samples = samples_of(strategy, scaler, [(inputs, first, last)])
    classifies = manifest["classes"] is not None
    return torch.stack([predict(one, samples, classes=classifies) for one in networks]).mean(dim=0)


def _positions(mean: torch.Tensor, manifest: Mapping[str, Any], strategy: Strategy, fold: int) -> Targets:
    if manifest["classes"] is not None:
        return _by_class(mean, manifest["directions"], strategy.decisions.confidence_threshold)
    centre, deviation = manifest["folds"][fold]["edges"]
    costs = strategy.decisions.cost_model
    wanted = costs.round_trip_cost * (1.0 if costs.min_edge_multiplier is None else costs.min_edge_multiplier)
    return _by_return(mean.double() * deviation + centre, wanted)


def _by_class(odds: torch.Tensor, directions: list[int], threshold: float) -> Targets:
    """The direction of the class that wins, when it is confident enough; else flat."""
    confidence, winner = odds.max(dim=1)
    direction = torch.tensor(directions, dtype=torch.int8).index_select(0, winner)
    return (direction * (confidence >= threshold)).to(torch.int8).numpy()


def _by_return(expected: torch.Tensor, wanted: float) -> Targets:
    """The sign of the expected return, when it is worth more than getting in and out costs."""
    return (expected.sign() * (expected.abs() > wanted)).to(torch.int8).numpy()
