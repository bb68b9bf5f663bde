"""What a network is trained to make small, and how often it is right."""

from __future__ import annotations

import torch

from ktrdr.domain.strategies import Strategy
from ktrdr.training.losses import class_weights, cross_entropy, focal, huber

FOCAL_GAMMA = 2.0  # Lin et al. (2017)
HUBER_DELTA = 1.0  # deviations of the target


class Objective:
    """One strategy's loss over a batch: classes from logits, or a standardised return."""

    def __init__(self, strategy: Strategy, targets: torch.Tensor) -> None:
        """`targets` are the training rows': weights that balance the classes count them."""
        training = strategy.training
        self._loss = training.loss or "cross_entropy"
        self._gamma = FOCAL_GAMMA if training.focal_gamma is None else training.focal_gamma
        self._delta = training.huber_delta or HUBER_DELTA
        self._weights: torch.Tensor | None = None
        if training.class_weights == "balanced":
            counts = torch.bincount(targets.cpu(), minlength=strategy.decisions.num_classes or 0)
            weights = class_weights("balanced", counts.tolist())
            self._weights = None if weights is None else weights.to(targets.device)
        elif training.class_weights is not None:
            self._weights = torch.tensor(training.class_weights, device=targets.device)

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar that can be differentiated."""
        if self._loss == "huber":
            return huber(outputs.squeeze(1), targets, self._delta)
        if self._loss == "focal":
            return focal(outputs, targets, self._gamma, self._weights)
        return cross_entropy(outputs, targets, self._weights)

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> float:
        """The share of rows whose class, or whose sign, is the predicted one."""
        if self._loss == "huber":
            return float((outputs.squeeze(1).sign() == targets.sign()).double().mean())
        return float((outputs.argmax(dim=1) == targets).double().mean())
