"""From trained networks to a target position a bar: -1, 0 or 1, decided at the bar's close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.features import FeatureMatrix, Scaler, compute_features
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import Strategy, strategy_sha256
from ktrdr.training.loop import load_fit
from ktrdr.training.model import predict

Tensors = Mapping[str, torch.Tensor]
Targets = NDArray[np.int8]


def validation_targets(
    tensors: Tensors, manifest: Mapping[str, Any], bars: Bars, strategy: Strategy
) -> tuple[Targets, int, int]:
    """Targets (n,) and the validation segment [first, last): each block by its own fold's networks,
    none of which saw a bar of it or a label that did."""
    features = _checked(manifest, bars, strategy)
    targets = np.zeros(len(bars), dtype=np.int8)
    folds = manifest["folds"][:-1]
    for number, fold in enumerate(folds):
        block = slice(fold["first"], fold["last"])
        targets[block] = _decide(tensors, manifest, features, strategy, number, block)
    return targets, int(folds[0]["first"]), int(folds[-1]["last"])


def holdout_targets(
    tensors: Tensors, manifest: Mapping[str, Any], bars: Bars, strategy: Strategy, first: int
) -> Targets:
    """Targets (n,) from bar `first` on, by the networks that were trained on all of development."""
    features = _checked(manifest, bars, strategy)
    targets = np.zeros(len(bars), dtype=np.int8)
    block = slice(first, len(bars))
    targets[block] = _decide(tensors, manifest, features, strategy, len(manifest["folds"]) - 1, block)
    return targets


def _checked(manifest: Mapping[str, Any], bars: Bars, strategy: Strategy) -> FeatureMatrix:
    features = compute_features(bars, strategy)
    if (
        list(features.names) != manifest["features"]
        or strategy_sha256(strategy) != manifest["strategy_sha256"]
    ):
        differing = sorted(set(features.names) ^ set(manifest["features"]))
        raise StepFailed(
            "MODEL_MISMATCH",
            f"The model was trained for another strategy (features that differ: {differing}). Train it anew.",
        )
    return features


def _decide(
    tensors: Tensors,
    manifest: Mapping[str, Any],
    features: FeatureMatrix,
    strategy: Strategy,
    fold: int,
    block: slice,
) -> Targets:
    """The ensemble's mean probability: up or down when it wins and is confident enough, else flat."""
    torch.set_num_threads(1)
    scaler = Scaler.from_json(manifest["folds"][fold]["scaler"])
    inputs = torch.from_numpy(scaler.apply(features.values[block]).astype(np.float32))
    size = int(manifest["ensemble"])
    architecture = strategy.model.architecture
    odds = torch.stack(
        [
            predict(load_fit(len(features.names), tensors, fold * size + member, architecture), inputs)
            for member in range(size)
        ]
    ).mean(dim=0)
    confidence, winner = odds.max(dim=1)
    direction = (winner - 1).to(torch.int8)
    return (direction * (confidence >= strategy.decisions.confidence_threshold)).to(torch.int8).numpy()
