"""What training minimises: the mean loss of a batch, as a scalar that gradients flow from.

Each is a function of logits (m, c) float32 and targets (m,) int64, or for a regression of predictions
and targets (m,). With class weights the mean is weighted as PyTorch does: Σ w·loss / Σ w over the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import functional

SMALLEST_DOUBT = 1e-12  # below it a focal weight is constant: its slope at 0 is infinite for gamma < 1


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean negative log probability of the true class, in nats; `weights` (c,) one for each class."""
    return functional.cross_entropy(logits, targets, weight=weights)


def focal(
    logits: torch.Tensor, targets: torch.Tensor, gamma: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy times (1 - p)^gamma, p the probability of the true class (Lin et al. 2017).

    What is predicted well already counts for less. A gamma of 0 is cross-entropy to the last bit;
    `weights` (c,) are the paper's alpha. Raises ValueError for a gamma below 0.
    """
    if gamma < 0.0:
        raise ValueError(f"focal_gamma is 0 or more, not {gamma}")
    if gamma == 0.0:
        return cross_entropy(logits, targets, weights)
    entropy = functional.cross_entropy(logits, targets, reduction="none")
    doubt = -torch.expm1(-entropy)  # 1 - p, exact where p is almost 1
    losses = doubt.clamp_min(SMALLEST_DOUBT) ** gamma * entropy
    if weights is None:
        return losses.mean()
    chosen = weights.index_select(0, targets)
    return (losses * chosen).sum() / chosen.sum()


def huber(predicted: torch.Tensor, targets: torch.Tensor, delta: float) -> torch.Tensor:
    """Mean of half the squared error up to `delta`, and linear beyond it (Huber 1964).

    In the unit of the target squared. Raises ValueError for shapes that differ, which would be broadcast.
    """
    if predicted.shape != targets.shape:
        raise ValueError(f"predictions {tuple(predicted.shape)} do not fit targets {tuple(targets.shape)}")
    return functional.huber_loss(predicted, targets, delta=delta)


def class_weights(mode: Literal["balanced"] | None, counts: Sequence[int]) -> torch.Tensor | None:
    """(c,) float32: a weight for each class from its number of training rows; None for no weights.

    `balanced` is n / (c · count), with which every class weighs as much as any other and the average
    row weighs 1. A class without a row gets 1; no row of the training has it.
    """
    if mode is None:
        return None
    if mode != "balanced":
        raise ValueError(f"unknown class weights '{mode}'; allowed: balanced")
    rows = sum(counts)
    return torch.tensor([rows / (len(counts) * one) if one else 1.0 for one in counts], dtype=torch.float32)
