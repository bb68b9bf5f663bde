"""The network of one fit: a perceptron of a bar, or a recurrent network of the bars up to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ktrdr.data.features import Scaler
from ktrdr.data.fuzzy import FuzzyLayer
from ktrdr.data.inputs import resolve
from ktrdr.domain.strategies import Architecture, Strategy
from ktrdr.training.samples import Samples

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}
CELLS: Mapping[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
CHUNK = 65_536  # rows that are predicted at once


class Recurrent(nn.Module):
    """LSTM (Hochreiter and Schmidhuber 1997) or GRU (Cho et al. 2014); its last state is read out."""

    def __init__(self, kind: str, inputs: int, outputs: int, architecture: Architecture) -> None:
        super().__init__()
        hidden, layers = architecture.hidden_size or 1, architecture.num_layers or 1
        between = architecture.dropout if layers > 1 else 0.0
        self.cells = CELLS[kind](inputs, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(m, length, inputs) → (m, outputs)."""
        states, _ = self.cells(windows)
        return self.head(self.dropout(states[:, -1]))  # type: ignore[no-any-return]


def build_network(inputs: int, strategy: Strategy, scaler: Scaler | None = None) -> nn.Module:
    """From features to logits of the classes, (m, classes), or to one prediction, (m, 1).

    Where memberships are learnt it begins at the readings, and `scaler` is part of it (None: it will be
    loaded with the weights).
    """
    outputs, model = strategy.decisions.num_classes or 1, strategy.model
    if model.type == "mlp":
        network: nn.Module = _perceptron(inputs, outputs, model.architecture)
    else:
        network = Recurrent(model.type, inputs, outputs, model.architecture)
    if not model.learn_memberships:
        return network
    mean, deviation = (None, None) if scaler is None else (scaler.mean, scaler.deviation)
    return nn.Sequential(FuzzyLayer(resolve(strategy), mean, deviation, learnable=True), network)


def load_network(tensors: Mapping[str, torch.Tensor], index: int, strategy: Strategy) -> nn.Module:
    """The network of one finished fit, as `train` left it."""
    prefix = f"finished.{index}."
    own = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
    network = build_network(len(strategy.features()), strategy)
    network.load_state_dict(own)
    return network


def learned_memberships(network: nn.Module) -> dict[str, Any]:
    """By fuzzy set and label what a network that learns them has come to, in the grammar's words."""
    layers = [one for one in network.modules() if isinstance(one, FuzzyLayer)]
    return layers[0].learned() if layers else {}


def predict(network: nn.Module, samples: Samples, *, classes: bool) -> torch.Tensor:
    """Class probabilities, (m, classes), or predictions, (m,), on the CPU."""
    network.eval()
    rows = torch.arange(len(samples), device=samples.matrix.device)
    with torch.no_grad():
        parts = [network(samples.batch(chunk)) for chunk in rows.split(CHUNK)]
        raw = torch.cat(parts) if parts else torch.empty(0, 1)
        return (torch.softmax(raw, dim=1) if classes else raw.squeeze(1)).cpu()


def _perceptron(inputs: int, outputs: int, architecture: Architecture) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = inputs
    for hidden in architecture.hidden_layers or ():
        layers += [nn.Linear(width, hidden), ACTIVATIONS[architecture.activation or "relu"]()]
        if architecture.dropout > 0.0:
            layers.append(nn.Dropout(architecture.dropout))
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, outputs))
