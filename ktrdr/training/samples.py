"""Rows to learn from, or to predict: single rows, or windows of rows that end at them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


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
