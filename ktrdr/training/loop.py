"""The training loop. Its state after any epoch is all it needs to go on, bit by bit.

One thread, tensors in memory, batches by `index_select` from a permutation of an explicit generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ktrdr.domain.strategies import learnt_sha256, strategy_sha256
from ktrdr.training.evaluation import evaluate
from ktrdr.training.fitting import EpochScore, FitInHand, Stopped
from ktrdr.training.history import History
from ktrdr.training.model import learned_memberships, load_network
from ktrdr.training.problem import Fold, Problem


@dataclass(frozen=True)
class EpochReport:
    """What just ended: `epoch` counts over all fits, from 1 to `total_epochs`.

    It skips what early stopping left out. `score` is None before a first epoch has ended.
    """

    epoch: int
    total_epochs: int
    fold: str
    member: int
    score: EpochScore | None


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
    history: list[dict[str, Any]]


LONG_EPOCH_SECONDS = 1.0  # from here on a stop does not wait for the epoch's end
OnEpoch = Callable[[EpochReport, Callable[[], Snapshot]], bool]
CPU = torch.device("cpu")


def train(
    problem: Problem,
    start: Snapshot | None,
    on_epoch: OnEpoch,
    *,
    threads: int = 1,
    device: torch.device = CPU,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained | None:
    """Train every fit in turn. None when it was told to stop.

    `on_epoch` is called after each epoch with a function that takes a snapshot, and says whether to go
    on. Within an epoch that takes long `should_stop` is asked too: the partial epoch is dropped, and
    `on_epoch` is called once more with the state before it. Raises StepFailed when the loss is no
    longer a number, naming where.
    """
    torch.set_num_threads(threads)
    run = _Run(problem, start, device)
    score: EpochScore | None = None
    seconds = math.inf  # the first epoch may be a long one
    while run.fit is not None:
        before = (run.report(score), run.snapshot()) if seconds > LONG_EPOCH_SECONDS else None
        begun = time.monotonic()
        try:
            score = run.fit.epoch(should_stop if before else None)
        except Stopped:
            assert before is not None
            _leave(on_epoch, *before)
            return None
        seconds = time.monotonic() - begun
        report = run.ended(score)
        if not on_epoch(report, run.snapshot):
            return None
    return Trained(
        run.networks, _manifest(problem, run.networks), evaluate(problem, run.networks), run.history.records()
    )


def _leave(on_epoch: OnEpoch, report: EpochReport, snapshot: Snapshot) -> None:
    on_epoch(report, lambda: snapshot)


class _Run:
    """The fit in hand, and the networks of those that are done."""

    def __init__(self, problem: Problem, start: Snapshot | None, device: torch.device) -> None:
        self._problem, self._device = problem, device
        self._index = 0
        self.networks: dict[str, torch.Tensor] = {}
        self.history = History(problem.total_epochs)
        if start is not None:
            self._index = int(start.state["fit"])
            self.networks = {name: one for name, one in start.tensors.items() if name.startswith("finished.")}
            self.history.restore(start.tensors["history"])
        self.fit = self._begin()
        if start is not None and self.fit is not None and start.state["in_hand"] is not None:
            self.fit.restore(start.tensors, start.state["in_hand"])

    def _begin(self) -> FitInHand | None:
        if self._index == len(self._problem.fits):
            return None
        return FitInHand(self._problem, self._index, self._device)

    def report(self, score: EpochScore | None) -> EpochReport:
        assert self.fit is not None
        done = self._index * self._problem.epochs + self.fit.epochs_done
        fit = self._problem.fits[self._index]
        fold = self._problem.folds[fit.fold].name
        return EpochReport(done, self._problem.total_epochs, fold, fit.member, score)

    def ended(self, score: EpochScore) -> EpochReport:
        """Note the epoch, and begin the next fit when this one is finished."""
        assert self.fit is not None
        self.history.add(self._index + 1, self.fit.epochs_done, score)
        report = self.report(score)
        if self.fit.finished:
            for name, value in self.fit.weights().items():
                self.networks[f"finished.{self._index}.{name}"] = value.cpu()
            self._index += 1
            self.fit = self._begin()
        return report

    def snapshot(self) -> Snapshot:
        begun = self.fit is not None and self.fit.epochs_done > 0
        in_hand = self.fit.state() if self.fit is not None and begun else None
        changing = {"history": self.history.table()}
        if self.fit is not None and begun:
            changing |= self.fit.tensors()
        copied = {name: one.detach().to("cpu", copy=True) for name, one in changing.items()}
        return Snapshot({**self.networks, **copied}, {"fit": self._index, "in_hand": in_hand})


def _manifest(problem: Problem, networks: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What a backtest must know of the networks, and what they learnt of the fuzzy sets."""
    return {
        "strategy_sha256": strategy_sha256(problem.strategy),
        "learnt_sha256": learnt_sha256(problem.strategy),
        "features": list(problem.features),
        "symbols": [one.symbol for one in problem.series],
        "dtype": "float32",
        "ensemble": problem.strategy.training.ensemble,
        "classes": list(problem.labelling.classes) if problem.classifies else None,
        "directions": list(problem.labelling.directions) if problem.classifies else None,
        "folds": [_fold(fold) for fold in problem.folds],
        "memberships": [
            learned_memberships(load_network(networks, one, problem.strategy))
            for one in range(len(problem.fits))
            if problem.strategy.model.learn_memberships
        ],
    }


def _fold(fold: Fold) -> dict[str, Any]:
    ranges = {"train": fold.train, "watched": fold.watched, "block": fold.block}
    return {
        "name": fold.name,
        **{name: [list(one) for one in found] for name, found in ranges.items()},
        "scaler": fold.scaler.to_json(),
        "edges": list(fold.edges),
    }
