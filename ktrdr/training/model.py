"""The network of one fit."""

from __future__ import annotations

import torch
from torch import nn

from ktrdr.domain.strategies import Architecture
from ktrdr.training.problem import CLASSES

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def build_model(inputs: int, architecture: Architecture) -> nn.Sequential:
    """A perceptron from (m, inputs) to (m, 3) logits of down, flat and up."""
    layers: list[nn.Module] = []
    width = inputs
    for hidden in architecture.hidden_layers:
        layers += [nn.Linear(width, hidden), _ACTIVATIONS[architecture.activation]()]
        if architecture.dropout > 0.0:
            layers.append(nn.Dropout(architecture.dropout))
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def predict(model: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """Class probabilities, (m, 3), in one batch."""
    model.eval()
    with torch.no_grad():
        return torch.softmax(model(inputs), dim=1)
