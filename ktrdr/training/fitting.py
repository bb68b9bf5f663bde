"""One fit in the hand: its network, and all that the next epoch depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ktrdr.domain.errors import StepFailed
from ktrdr.training.model import CHUNK, build_network
from ktrdr.training.objective import Objective
from ktrdr.training.optimizers import build_optimizer
from ktrdr.training.problem import Problem
from ktrdr.training.schedule import Schedule
from ktrdr.training.stopping import Watch

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class EpochScore:
    """What an epoch came to; `watched_…` on rows that were not learnt from, where there are any."""

    loss: float
    accuracy: float
    watched_loss: float | None
    watched_accuracy: float | None
    learning_rate: float


class Stopped(Exception):
    """Between two batches: the epoch is dropped."""


class FitInHand:
    """Made from the fit's seed alone; `restore` puts it where an earlier one was after an epoch."""

    def __init__(self, problem: Problem, index: int, device: torch.device) -> None:
        strategy, fit = problem.strategy, problem.fits[index]
        fold = problem.folds[fit.fold]
        self._problem, self._index, self._device = problem, index, device
        self._samples = problem.samples(fold, fold.train).to(device)
        self._targets = problem.targets(fold, fold.train).to(device)
        self._watched = problem.samples(fold, fold.watched).to(device)
        self._watched_targets = problem.targets(fold, fold.watched).to(device)
        torch.manual_seed(fit.seed)  # initial weights and dropout, on every device
        self._order = torch.Generator().manual_seed(fit.seed)
        self.network = build_network(len(problem.features), strategy, fold.scaler).to(device)
        self._optimizer = build_optimizer(self.network.parameters(), strategy.training)
        self._objective = Objective(strategy, self._targets)
        self._schedule = Schedule(
            strategy.training.lr_scheduler, strategy.training.learning_rate, strategy.training.epochs
        )
        self._watch = Watch(strategy.training.early_stopping)
        self._best: Tensors = {}
        self.epochs_done = 0

    @property
    def finished(self) -> bool:
        return self.epochs_done == self._problem.epochs or self._watch.exhausted

    def epoch(self, should_stop: Callable[[], bool] | None) -> EpochScore:
        """One pass over the training rows. Raises Stopped between two batches, and StepFailed for a
        loss that is not a number."""
        number = self.epochs_done + 1
        self._optimizer.rate = self._schedule.rate(number)
        loss, accuracy = self._learn(should_stop)
        self.epochs_done = number
        if not len(self._watched):
            return EpochScore(loss, accuracy, None, None, self._optimizer.rate)
        watched_loss, watched_accuracy = self._look()
        self._schedule.observe(watched_loss)
        if self._watch.observe(number, watched_loss):
            self._best = _cloned(self.network.state_dict())
        return EpochScore(loss, accuracy, watched_loss, watched_accuracy, self._optimizer.rate)

    def weights(self) -> Tensors:
        """Of the network that is kept: the best on the watched rows, else the last."""
        return _cloned(self._best or self.network.state_dict())

    def tensors(self) -> Tensors:
        """Everything the next epoch depends on; the tensors go on changing."""
        kept = {f"network.{name}": one for name, one in self.network.state_dict().items()}
        kept |= {f"optimizer.{name}": one for name, one in self._optimizer.state().items()}
        kept |= {f"best.{name}": one for name, one in self._best.items()}
        kept |= {"random.torch": torch.get_rng_state(), "random.order": self._order.get_state()}
        if self._device.type == "cuda":
            kept["random.cuda"] = torch.cuda.get_rng_state(self._device)
        if self._device.type == "mps":
            kept["random.mps"] = torch.mps.get_rng_state()
        return kept

    def state(self) -> dict[str, Any]:
        return {
            "epochs_done": self.epochs_done,
            "schedule": self._schedule.state(),
            "watch": self._watch.state(),
        }

    def restore(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `state` gave."""
        self.network.load_state_dict(under(tensors, "network."))
        self._optimizer.restore(under(tensors, "optimizer."))
        self._best = {name: one.to(self._device) for name, one in under(tensors, "best.").items()}
        torch.set_rng_state(tensors["random.torch"])
        self._order.set_state(tensors["random.order"])
        if self._device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self._device)
        if self._device.type == "mps" and "random.mps" in tensors:
            torch.mps.set_rng_state(tensors["random.mps"])
        self._schedule.restore(state["schedule"])
        self._watch.restore(state["watch"])
        self.epochs_done = int(state["epochs_done"])

    def _learn(self, should_stop: Callable[[], bool] | None) -> tuple[float, float]:
        training = self._problem.strategy.training
        self.network.train()
        order = torch.randperm(len(self._samples), generator=self._order).to(self._device)
        batches = order.split(training.batch_size)
        losses: list[torch.Tensor] = []
        outputs: list[torch.Tensor] = []
        for rows in batches:
            if should_stop is not None and should_stop():
                raise Stopped
            output = self.network(self._samples.batch(rows))
            loss = self._objective(output, self._targets.index_select(0, rows))
            self._optimizer.zero_grad()
            loss.backward()
            if training.gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), training.gradient_clip)
            self._optimizer.step()
            losses.append(loss.detach())
            outputs.append(output.detach())
        # Looked at once an epoch: asking a GPU for each batch's loss would wait for each batch.
        values = torch.stack(losses).cpu().double()
        self._check(values)
        sizes = torch.tensor([len(rows) for rows in batches], dtype=torch.float64)
        mean = float((values * sizes).sum() / sizes.sum())
        return mean, self._objective.right(torch.cat(outputs), self._targets.index_select(0, order))

    def _check(self, losses: torch.Tensor) -> None:
        wrong = torch.nonzero(~torch.isfinite(losses))
        if not len(wrong):
            return
        batch = int(wrong[0])
        raise StepFailed(
            "LOSS_NOT_FINITE",
            f"The loss is {float(losses[batch])} in epoch {self.epochs_done + 1}, batch {batch + 1}, of "
            f"network {self._index + 1}. The checkpoint is of the epoch before. Lower "
            "training.learning_rate, or set training.gradient_clip, and start anew.",
        )

    def _look(self) -> tuple[float, float]:
        """Loss and accuracy on the watched rows."""
        self.network.eval()
        rows = torch.arange(len(self._watched), device=self._device)
        with torch.no_grad():
            output = torch.cat([self.network(self._watched.batch(one)) for one in rows.split(CHUNK)])
            loss = float(self._objective(output, self._watched_targets))
        return (loss if math.isfinite(loss) else math.inf), self._objective.right(
            output, self._watched_targets
        )


def under(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    """Those whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _cloned(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {name: one.detach().clone() for name, one in tensors.items()}
