"""Which epoch's network is kept, and when it is no use to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ktrdr.domain.strategies import EarlyStopping


class Watch:
    """Follows the loss on rows that are not learnt from (Prechelt 1998).

    The network with the lowest such loss is the one that is kept, with early stopping or without it.
    """

    def __init__(self, spec: EarlyStopping | None) -> None:
        self._spec = spec if spec is not None and spec.enabled else None
        self._lowest = math.inf  # by more than `min_delta` below the one before
        self._best = math.inf
        self._stale = 0
        self.best_epoch = 0

    def observe(self, epoch: int, loss: float) -> bool:
        """Whether this epoch's network is the best so far."""
        if loss < self._lowest - (self._spec.min_delta if self._spec is not None else 0.0):
            self._lowest, self._stale = loss, 0
        else:
            self._stale += 1
        if loss >= self._best:
            return False
        self._best, self.best_epoch = loss, epoch
        return True

    @property
    def exhausted(self) -> bool:
        """`patience` epochs have brought nothing."""
        return self._spec is not None and self._stale >= self._spec.patience

    def state(self) -> dict[str, Any]:
        """JSON; there is no infinity in it."""
        lowest, best = (one if math.isfinite(one) else None for one in (self._lowest, self._best))
        return {"lowest": lowest, "best": best, "stale": self._stale, "best_epoch": self.best_epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        lowest, best = state["lowest"], state["best"]
        self._lowest = math.inf if lowest is None else float(lowest)
        self._best = math.inf if best is None else float(best)
        self._stale, self.best_epoch = int(state["stale"]), int(state["best_epoch"])
