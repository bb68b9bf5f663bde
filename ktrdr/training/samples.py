"""Rows to learn from, or to predict: single rows, or windows of rows that end at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ktrdr.data.features import Scaler, Singles
from ktrdr.domain.strategies import Strategy


@dataclass(frozen=True, eq=False)
class Samples:
    """`matrix` (N, k) float32. Without `ends` each row is a sample; with them sample i is the window of
    `length` rows up to and with row `ends[i]`, made when it is asked for."""

    matrix: torch.Tensor
    ends: torch.Tensor | None = None
    length: int = 1

    def __len__(self) -> int:
        return len(self.matrix) if self.ends is None else len(self.ends)

    def batch(self, rows: torch.Tensor) -> torch.Tensor:
        """(b, k), or (b, length, k) oldest row first, of the samples `rows` (b,)."""
        if self.ends is None:
            return self.matrix.index_select(0, rows)
        back = torch.arange(1 - self.length, 1, device=self.matrix.device)
        window = self.ends.index_select(0, rows).unsqueeze(1) + back
        return self.matrix.index_select(0, window.flatten()).view(len(rows), self.length, -1)

    def to(self, device: torch.device) -> Samples:
        ends = None if self.ends is None else self.ends.to(device)
        return Samples(self.matrix.to(device), ends, self.length)


def window_length(strategy: Strategy) -> int:
    """How many bars up to its own a prediction looks at."""
    return 1 if strategy.model.type == "mlp" else strategy.model.architecture.sequence_length or 1


def samples_of(strategy: Strategy, scaler: Scaler, spans: Sequence[tuple[Singles, int, int]]) -> Samples:
    """The samples of rows [first, last) of each matrix, none of which is empty.

    Features are scaled here; readings, whose fuzzy sets are learnt, are scaled by the network.
    """
    length = window_length(strategy)
    rows = [matrix[first - length + 1 : last] for matrix, first, last in spans]
    if not strategy.model.learn_memberships:
        rows = [scaler.apply(one) for one in rows]
    if not rows:
        return Samples(torch.empty(0, 1))
    matrix = torch.from_numpy(np.concatenate(rows))
    if length == 1:
        return Samples(matrix)
    begins = np.cumsum([0, *(len(one) for one in rows)])[:-1]
    pairs = zip(begins, rows, strict=True)
    ends = [np.arange(begin + length - 1, begin + len(one)) for begin, one in pairs]
    return Samples(matrix, torch.from_numpy(np.concatenate(ends)), length)
