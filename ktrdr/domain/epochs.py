"""What is kept of each epoch of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("network", "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")


def epoch_record(row: Sequence[float]) -> dict[str, Any]:
    """One row of `COLUMNS` as JSON has it: null where a number is missing."""
    plain = {name: one if math.isfinite(one) else None for name, one in zip(COLUMNS, row, strict=True)}
    return plain | {"network": int(row[0]), "epoch": int(row[1])}


def networks_of(
    history: Sequence[Mapping[str, Any]], folds: Sequence[str], ensemble: int
) -> list[dict[str, Any]]:
    """Each network: its fold, its member, how many epochs it ran, and which of them was kept.

    That is the first with the lowest validation loss; None where nothing was watched: the last one.
    """
    runs: dict[int, list[Mapping[str, Any]]] = {}
    for one in history:
        runs.setdefault(int(one["network"]), []).append(one)
    return [
        {
            "fold": folds[(network - 1) // ensemble],
            "member": (network - 1) % ensemble,
            "epochs_run": len(epochs),
            "best_epoch": _best(epochs),
        }
        for network, epochs in sorted(runs.items())
    ]


def _best(epochs: Sequence[Mapping[str, Any]]) -> int | None:
    watched = [one for one in epochs if one["validation_loss"] is not None]
    if not watched:
        return None
    return int(min(watched, key=lambda one: one["validation_loss"])["epoch"])
