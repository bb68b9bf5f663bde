"""What every epoch came to, as a table that a checkpoint can carry."""

from __future__ import annotations

import math
from typing import Any

import torch

from ktrdr.domain.epochs import COLUMNS, epoch_record
from ktrdr.training.fitting import EpochScore


class History:
    """(m, 7) float64, one row an epoch, NaN where nothing was watched. `network` counts from 1."""

    def __init__(self, epochs: int) -> None:
        self._table = torch.full((epochs, len(COLUMNS)), math.nan, dtype=torch.float64)
        self._rows = 0

    def add(self, network: int, epoch: int, score: EpochScore) -> None:
        watched = (score.watched_loss, score.watched_accuracy)
        shown = [math.nan if one is None else one for one in watched]
        row = [network, epoch, score.loss, score.accuracy, *shown, score.learning_rate]
        self._table[self._rows] = torch.tensor(row, dtype=torch.float64)
        self._rows += 1

    def table(self) -> torch.Tensor:
        return self._table[: self._rows]

    def restore(self, table: torch.Tensor) -> None:
        self._rows = len(table)
        self._table[: self._rows] = table

    def records(self) -> list[dict[str, Any]]:
        """One mapping an epoch, null where a number is missing."""
        return [epoch_record(row) for row in self.table().tolist()]
