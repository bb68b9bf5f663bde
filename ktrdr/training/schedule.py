"""The learning rate of each epoch. All but `plateau` is a function of the epoch alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ktrdr.domain.strategies import LrScheduler

STEP_GAMMA = 0.1
STEP_SIZE = 30
EXPONENTIAL_GAMMA = 0.95
PLATEAU_GAMMA = 0.5
PLATEAU_PATIENCE = 10


class Schedule:
    """One fit's schedule. `warmup_epochs` rise linearly to the base rate before anything else.

    cosine: from the base rate to `min_lr` over the epochs that are left (Loshchilov and Hutter 2017);
    step: times `gamma` each `step_size` epochs; exponential: times `gamma` each epoch; plateau: times
    `gamma` whenever the loss that is watched has not fallen for `patience` epochs. No rate falls below
    `min_lr`.
    """

    def __init__(self, spec: LrScheduler | None, base: float, epochs: int) -> None:
        self._spec, self._base, self._epochs = spec, base, epochs
        self._factor, self._best, self._stale = 1.0, math.inf, 0

    @property
    def watches(self) -> bool:
        """Whether it needs rows beside those that are learnt from."""
        return self._spec is not None and self._spec.type == "plateau"

    def rate(self, epoch: int) -> float:
        """The rate of an epoch, counted from 1."""
        if self._spec is None or self._spec.type == "none":
            return self._warming(epoch, self._base)
        return self._warming(epoch, max(self._decayed(epoch, self._spec), self._floor))

    def observe(self, loss: float) -> None:
        """Tell it what an epoch came to."""
        if self._spec is None or not self.watches:
            return
        if loss < self._best:
            self._best, self._stale = loss, 0
            return
        self._stale += 1
        if self._stale > (self._spec.patience or PLATEAU_PATIENCE):
            self._factor, self._stale = self._factor * (self._spec.gamma or PLATEAU_GAMMA), 0

    def state(self) -> dict[str, Any]:
        """JSON; there is no infinity in it."""
        best = self._best if math.isfinite(self._best) else None
        return {"factor": self._factor, "best": best, "stale": self._stale}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._factor, self._stale = float(state["factor"]), int(state["stale"])
        self._best = math.inf if state["best"] is None else float(state["best"])

    @property
    def _floor(self) -> float:
        return 0.0 if self._spec is None else min(self._spec.min_lr or 0.0, self._base)

    @property
    def _warmup(self) -> int:
        return 0 if self._spec is None else self._spec.warmup_epochs or 0

    def _warming(self, epoch: int, rate: float) -> float:
        return self._base * epoch / (self._warmup + 1) if epoch <= self._warmup else rate

    def _decayed(self, epoch: int, spec: LrScheduler) -> float:
        done = epoch - 1 - self._warmup
        if spec.type == "step":
            return self._base * (spec.gamma or STEP_GAMMA) ** (done // (spec.step_size or STEP_SIZE))
        if spec.type == "exponential":
            return float(self._base * (spec.gamma or EXPONENTIAL_GAMMA) ** done)
        if spec.type == "plateau":
            return self._base * self._factor
        share = done / max(1, self._epochs - self._warmup)
        return self._floor + (self._base - self._floor) * (1.0 + math.cos(math.pi * share)) / 2.0
