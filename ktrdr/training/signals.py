"""From trained networks to a target position a bar: -1, 0 or 1, decided at the bar's close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.features import Scaler, Singles, compute_features, readings
from ktrdr.data.market import Market
from ktrdr.domain.strategies import Strategy
from ktrdr.training.compatibility import check_model
from ktrdr.training.model import load_network, predict
from ktrdr.training.samples import samples_of

Tensors = Mapping[str, torch.Tensor]
Targets = NDArray[np.int8]


def validation_targets(
    tensors: Tensors, manifest: Mapping[str, Any], market: Market, strategy: Strategy
) -> tuple[Targets, int, int]:
    """Targets (n,) of the strategy's first symbol and the validation segment [first, last): each block
    by its own fold's networks, none of which saw a bar of it or a label that did."""
    inputs = _checked(manifest, market, strategy)
    targets = np.zeros(len(inputs), dtype=np.int8)
    blocks = [(number, *fold["block"][0]) for number, fold in enumerate(manifest["folds"])]
    predicted = [(number, first, last) for number, first, last in blocks if last > first]
    for number, first, last in predicted:
        targets[first:last] = _decide(tensors, manifest, inputs, strategy, number, first, last)
    return targets, predicted[0][1], predicted[-1][2]


def holdout_targets(
    tensors: Tensors, manifest: Mapping[str, Any], market: Market, strategy: Strategy, first: int
) -> Targets:
    """Targets (n,) from bar `first` on, by the networks that are for bars after all of development."""
    inputs = _checked(manifest, market, strategy)
    last, final = len(inputs), len(manifest["folds"]) - 1
    targets = np.zeros(last, dtype=np.int8)
    targets[first:] = _decide(tensors, manifest, inputs, strategy, final, first, last)
    return targets


def _checked(manifest: Mapping[str, Any], market: Market, strategy: Strategy) -> Singles:
    """What the networks are given of each bar, if they were trained for this strategy."""
    check_model(manifest, strategy)
    symbol = strategy.training_data.symbols.all[0]
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
    known = manifest["folds"][fold]
    samples = samples_of(strategy, Scaler.from_json(known["scaler"]), [(inputs, first, last)])
    size = int(manifest["ensemble"])
    classifies = manifest["classes"] is not None
    mean = torch.stack(
        [
            predict(load_network(tensors, index, strategy), samples, classes=classifies)
            for index in range(fold * size, (fold + 1) * size)
        ]
    ).mean(dim=0)
    if classifies:
        return _by_class(mean, manifest["directions"], strategy.decisions.confidence_threshold)
    centre, deviation = known["edges"]
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
