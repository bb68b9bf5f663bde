"""The training loop. Its state after any epoch is all it needs to go on, bit by bit.

One thread, tensors in memory, batches by `index_select` from a permutation of an explicit generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import strategy_sha256
from ktrdr.training.adam import Adam
from ktrdr.training.model import build_model, predict
from ktrdr.training.problem import FINAL, FLAT, Problem


@dataclass(frozen=True)
class EpochReport:
    """What just ended: `epoch` counts over all fits, from 1 to `total_epochs`."""

    epoch: int
    total_epochs: int
    fold: str
    member: int
    loss: float


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A checkpoint of the loop: tensors (for safetensors) and the rest (JSON)."""

    tensors: Mapping[str, torch.Tensor]
    state: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of every fit, what a backtest must know of them, and how good they are."""

    tensors: Mapping[str, torch.Tensor]
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]


OnEpoch = Callable[[EpochReport, Callable[[], Snapshot]], bool]


def train(problem: Problem, start: Snapshot | None, on_epoch: OnEpoch, *, threads: int = 1) -> Trained | None:
    """Train every fit in turn. None when `on_epoch` said to stop.

    `on_epoch` is called after each epoch with a function that takes a snapshot. Raises StepFailed
    when the loss is no longer a number, naming where.
    """
    torch.set_num_threads(threads)
    run = _Run(problem, start)
    while run.fit_index < len(problem.fits):
        loss = run.epoch()
        done = run.fit_index * problem.epochs + run.epochs_done
        fit = problem.fits[run.fit_index]
        report = EpochReport(done, problem.total_epochs, problem.folds[fit.fold].name, fit.member, loss)
        if run.epochs_done == problem.epochs:
            run.finish_fit(loss)
        if not on_epoch(report, run.snapshot):
            return None
    return _trained(problem, run)


class _Run:
    """The fit in hand: model, optimizer, generators, and the fits that are done."""

    def __init__(self, problem: Problem, start: Snapshot | None) -> None:
        self._problem = problem
        self.fit_index = 0
        self.epochs_done = 0
        self.losses: list[float] = []
        self.finished: dict[str, torch.Tensor] = {}
        if start is not None:
            self.fit_index = int(start.state["fit"])
            self.epochs_done = int(start.state["epochs_done"])
            self.losses = [float(loss) for loss in start.state["losses"]]
            self.finished = _under(start.tensors, "finished.", keep=True)
        if self.fit_index < len(problem.fits):
            self._begin_fit()
            if start is not None and self.epochs_done > 0:
                self._restore(start)

    def _begin_fit(self) -> None:
        fit = self._problem.fits[self.fit_index]
        fold = self._problem.folds[fit.fold]
        self._inputs = self._problem.inputs(fold, fold.first, fold.train_end)
        self._labels = self._problem.labels(fold, fold.first, fold.train_end)
        torch.manual_seed(fit.seed)  # initial weights and dropout
        self._batches = torch.Generator().manual_seed(fit.seed)
        self.model = build_model(self._inputs.shape[1], self._problem.strategy.model.architecture)
        rate = self._problem.strategy.training.learning_rate
        self._optimizer = Adam(self.model.parameters(), rate)

    def epoch(self) -> float:
        """One pass over the fold's training rows; the mean loss."""
        self.model.train()
        size = self._problem.strategy.training.batch_size
        order = torch.randperm(len(self._inputs), generator=self._batches)
        total = 0.0
        for number, rows in enumerate(order.split(size)):
            inputs = self._inputs.index_select(0, rows)
            loss = nn.functional.cross_entropy(self.model(inputs), self._labels.index_select(0, rows))
            value = loss.item()
            if not math.isfinite(value):
                raise StepFailed(
                    "LOSS_NOT_FINITE",
                    f"The loss is {value} in epoch {self.epochs_done + 1}, batch {number + 1}, of network "
                    f"{self.fit_index + 1}. Lower training.learning_rate and start anew.",
                )
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += value * len(rows)
        self.epochs_done += 1
        return total / len(self._inputs)

    def finish_fit(self, loss: float) -> None:
        for name, value in self.model.state_dict().items():
            self.finished[f"finished.{self.fit_index}.{name}"] = value.detach().clone()
        self.losses.append(loss)
        self.fit_index += 1
        self.epochs_done = 0
        if self.fit_index < len(self._problem.fits):
            self._begin_fit()

    def snapshot(self) -> Snapshot:
        state = {"fit": self.fit_index, "epochs_done": self.epochs_done, "losses": list(self.losses)}
        tensors = dict(self.finished)
        if self.epochs_done > 0:
            tensors |= {f"model.{name}": value for name, value in self.model.state_dict().items()}
            tensors |= {f"adam.{name}": value for name, value in self._optimizer.state().items()}
            tensors["random.torch"] = torch.get_rng_state()
            tensors["random.batches"] = self._batches.get_state()
        return Snapshot({name: value.detach().clone() for name, value in tensors.items()}, state)

    def _restore(self, start: Snapshot) -> None:
        self.model.load_state_dict(_under(start.tensors, "model."))
        self._optimizer.restore(_under(start.tensors, "adam."))
        torch.set_rng_state(start.tensors["random.torch"])
        self._batches.set_state(start.tensors["random.batches"])


def _under(
    tensors: Mapping[str, torch.Tensor], prefix: str, *, keep: bool = False
) -> dict[str, torch.Tensor]:
    return {
        (name if keep else name.removeprefix(prefix)): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def load_fit(
    problem_inputs: int, tensors: Mapping[str, torch.Tensor], index: int, architecture: Any
) -> nn.Sequential:
    """The network of one finished fit."""
    model = build_model(problem_inputs, architecture)
    model.load_state_dict(_under(tensors, f"finished.{index}."))
    return model


def _trained(problem: Problem, run: _Run) -> Trained:
    manifest = {
        "strategy_sha256": strategy_sha256(problem.strategy),
        "features": list(problem.features.names),
        "dtype": "float32",
        "ensemble": problem.strategy.training.ensemble,
        "folds": [
            {
                "name": fold.name,
                "train_first": fold.first,
                "train_end": fold.train_end,
                "first": fold.block_first,
                "last": fold.block_last,
                "scaler": fold.scaler.to_json(),
            }
            for fold in problem.folds
        ],
    }
    return Trained(run.finished, manifest, _metrics(problem, run))


def _metrics(problem: Problem, run: _Run) -> dict[str, Any]:
    """Accuracy on out-of-fold rows only: pooled over the folds, and per network to tell luck from edge."""
    inputs = len(problem.features.names)
    architecture = problem.strategy.model.architecture
    pooled_truth: list[torch.Tensor] = []
    pooled_votes: list[torch.Tensor] = []
    members: list[float] = []
    for number, fold in enumerate(problem.folds):
        if fold.name == FINAL:
            continue
        last = min(fold.block_last, len(problem.forward) - problem.strategy.training.labels.horizon)
        rows, truth = (
            problem.inputs(fold, fold.block_first, last),
            problem.labels(fold, fold.block_first, last),
        )
        odds = [
            predict(load_fit(inputs, run.finished, index, architecture), rows)
            for index, fit in enumerate(problem.fits)
            if fit.fold == number
        ]
        members += [balanced_accuracy(truth, one.argmax(dim=1)) for one in odds]
        pooled_truth.append(truth)
        pooled_votes.append(torch.stack(odds).mean(dim=0).argmax(dim=1))
    folds = [balanced_accuracy(one, vote) for one, vote in zip(pooled_truth, pooled_votes, strict=True)]
    truth, votes = torch.cat(pooled_truth), torch.cat(pooled_votes)
    moving = (truth != FLAT) & (votes != FLAT)
    return {
        "balanced_accuracy": balanced_accuracy(truth, votes),
        "accuracy": float((truth == votes).double().mean()),
        "out_of_fold_rows": len(truth),
        # Flat or not is mostly volatility; this is what is left of direction (a half by chance).
        "directional_accuracy": float((truth == votes)[moving].double().mean()) if moving.any() else None,
        "directional_rows": int(moving.sum()),
        "fold_balanced_accuracy": folds,
        "member_balanced_accuracy_min": min(members),
        "member_balanced_accuracy_max": max(members),
        "final_loss": run.losses[-1],
        "networks": len(problem.fits),
        "epochs": problem.total_epochs,
    }


def balanced_accuracy(truth: torch.Tensor, votes: torch.Tensor) -> float:
    """Mean recall over the classes that occur (Brodersen et al. 2010); a third by chance."""
    recalls = [(votes[truth == one] == one).double().mean() for one in truth.unique(sorted=True)]
    return float(torch.stack(recalls).mean())
