"""An epoch of the training loop against the usual DataLoader loop and against the bare tensor loop.

100,000 rows of 30 features, a perceptron 64-32-3, one thread, all in the same rounds. Prints the medians
and their ratios; exits with 1 when one is beyond its limit.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ktrdr.data.features import FeatureMatrix, Scaler
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.training.fitting import FitInHand
from ktrdr.training.labels import Labelling
from ktrdr.training.problem import Fit, Fold, Problem, Series

ROWS, FEATURES, CLASSES = 100_000, 30, 3
HIDDEN = (64, 32)
ROUNDS = {256: 9, 4096: 15}
USUAL = {256: 3.5, 4096: 15.0}  # at least so many times the DataLoader loop
BARE = 1.1  # at most so many times the bare loop
STRATEGY: dict[str, Any] = {
    "name": "benchmark",
    "version": "3.0",
    "training_data": {"symbols": {"mode": "single", "symbol": "NASDAQ"}},
    "indicators": {"rsi_14": {"type": "rsi"}},
    "nn_inputs": [{"raw_indicator": "rsi_14", "normalization": "zscore"}],
    "model": {"type": "mlp", "architecture": {"hidden_layers": list(HIDDEN)}},
    "training": {"epochs": 1000, "data_split": {"train": 0.9, "validation": 0.0, "test": 0.1}},
}


def problem(batch_size: int) -> Problem:
    """Random features and classes in the shape that the loop is given."""
    config = copy.deepcopy(STRATEGY)
    config["training"]["batch_size"] = batch_size
    strategy: Strategy = parse_strategy(config)
    random = np.random.default_rng(1)
    names = tuple(f"1d_feature_{one}" for one in range(FEATURES))
    matrix = FeatureMatrix(
        random.normal(size=(ROWS, FEATURES)).astype(np.float32), names, np.zeros(FEATURES, dtype=bool)
    )
    score = random.integers(0, CLASSES, ROWS).astype(np.float64)
    series = Series("NASDAQ", np.arange(ROWS), matrix, matrix.values, score, 0, ROWS)
    labelling = Labelling(score, 1, (0.5, 1.5), ("down", "flat", "up"), (-1, 0, 1))
    plain = Scaler(np.zeros(FEATURES), np.ones(FEATURES))
    whole = ((0, ROWS),)
    fold = Fold("split", whole, (), whole, plain, (0.5, 1.5))
    return Problem(strategy, (series,), labelling, (fold,), (Fit(0, 0, 1),))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    width = FEATURES
    for hidden in HIDDEN:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def usual(inputs: torch.Tensor, targets: torch.Tensor, size: int) -> Callable[[], None]:
    """What tutorials show: DataLoader, TensorDataset, Adam, and the loss asked for after each batch."""
    model, loader = network(), DataLoader(TensorDataset(inputs, targets), batch_size=size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

    def epoch() -> None:
        total = 0.0
        for batch, wanted in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch), wanted)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def bare(inputs: torch.Tensor, targets: torch.Tensor, size: int) -> Callable[[], None]:
    """The floor: index_select and fused Adam, and nothing kept of what happened."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(inputs)).split(size):
            loss = nn.functional.cross_entropy(
                model(inputs.index_select(0, rows)), targets.index_select(0, rows)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def ours(size: int) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
    """The loop itself, and the tensors that it trains on."""
    made = problem(size)
    fit, fold = FitInHand(made, 0, torch.device("cpu")), made.folds[0]
    tensors = made.samples(fold, fold.train).matrix, made.targets(fold, fold.train)

    def epoch() -> None:
        fit.epoch(None)

    return epoch, *tensors


def main() -> int:
    torch.set_num_threads(1)
    failed = False
    print("batch   ours      bare      DataLoader   ours/bare   DataLoader/ours")
    for size, rounds in ROUNDS.items():
        loop, inputs, targets = ours(size)
        loops = {"ours": loop, "bare": bare(inputs, targets, size), "usual": usual(inputs, targets, size)}
        taken: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds):
            for name, epoch in loops.items():
                begun = time.perf_counter()
                epoch()
                taken[name].append(time.perf_counter() - begun)
        middle = {name: statistics.median(times[1:]) for name, times in taken.items()}
        floor, gain = middle["ours"] / middle["bare"], middle["usual"] / middle["ours"]
        failed |= floor > BARE or gain < USUAL[size]
        print(
            f"{size:5d}   {middle['ours']:.3f} s   {middle['bare']:.3f} s   {middle['usual']:.3f} s      "
            f"{floor:.2f} (<= {BARE})   {gain:.1f} (>= {USUAL[size]})"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
