from __future__ import annotations
import torch
from torch import nn


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, gamma: float, weights: torch.Tensor | None
) -> torch.Tensor:
    logp = nn.functional.log_softmax(logits, dim=1)
    picked = logp.gather(1, targets.unsqueeze(1)).squeeze(1)
    return (-((1 - picked.exp()) ** gamma) * picked).mean()


def class_weights(counts: torch.Tensor) -> torch.Tensor:
    return counts.sum() / (len(counts) * counts.clamp(min=1).float())
