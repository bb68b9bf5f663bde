"""Fuzzy sets as one layer of a network: from readings of indicators to degrees of membership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ktrdr.data.inputs import Feature, Inputs
from ktrdr.data.memberships import Flanks, Gaussians, Shapes, Sigmoids
from ktrdr.domain.strategies import Membership

Numbers = Sequence[float] | NDArray[np.float64]
MODULES: dict[str, type[Shapes]] = {"flanks": Flanks, "gaussians": Gaussians, "sigmoids": Sigmoids}
RAW = "raw"
LANES = 64
KINDS = {
    "triangular": "flanks",
    "trapezoidal": "flanks",
    "gaussian": "gaussians",
    "sigmoid": "sigmoids",
}


class FuzzyLayer(nn.Module):
    """Readings (..., r) → features (..., k), in the grammar's order.

    Fixed and learnable sets start with the same numbers, bit for bit. Timeframes of a fuzzy set share
    its parameters, as they do in the strategy's file. A raw reading is scaled by its mean and deviation,
    each (k,) as fitted on training rows; without them it is left as it is until a state is loaded. The
    state dict holds what the strategy does not say: the scaling, and what was learnt.

    A reading that is NaN gives NaN, and such a row is not to be learnt from. A reading of ±inf gives the
    limit of its shape, and so does one too large to compute with: a sigmoid ends at 0 or 1, everything
    else at 0. The gradients of both are 0.
    """

    order: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        inputs: Inputs,
        mean: Numbers | None = None,
        deviation: Numbers | None = None,
        *,
        learnable: bool = False,
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self._kinds: dict[str, list[int]] = {}
        for index, one in enumerate(inputs.features):
            self._kinds.setdefault(kind_of(inputs, one), []).append(index)
        for kind, at in self._kinds.items():
            if kind != RAW:
                self.add_module(kind, shapes_of(inputs, at, learnable=learnable))
            rows = torch.tensor([inputs.features[index].reading for index in at])
            self.register_buffer(f"{kind}_readings", rows, persistent=False)
        order = torch.tensor([index for at in self._kinds.values() for index in at])
        self.register_buffer("order", order.argsort(), persistent=False)
        if RAW in self._kinds:
            self.register_buffer("mean", _column(mean, self._kinds[RAW], 0.0))
            self.register_buffer("deviation", _column(deviation, self._kinds[RAW], 1.0))

    def forward(self, readings: torch.Tensor) -> torch.Tensor:
        given = readings.reshape(-1, readings.shape[-1])
        rows = nn.functional.pad(given, (0, 0, 0, whole(len(given)) - len(given))).t()
        parts = []
        for kind in self._kinds:
            part = rows.index_select(0, self.get_buffer(f"{kind}_readings"))
            scaled = (part - self.mean) / self.deviation if kind == RAW else self.get_submodule(kind)(part)
            parts.append(scaled)
        features = torch.cat(parts).index_select(0, self.order)
        return features.t()[: len(given)].contiguous().reshape(*readings.shape[:-1], -1)

    def learned(self) -> dict[str, dict[str, Any]]:
        """By fuzzy set and label: its shape and parameters as they are now, in the grammar's words."""
        found: dict[int, list[float]] = {}
        for kind, at in self._kinds.items():
            shapes = self._modules.get(kind)
            if isinstance(shapes, Shapes):
                found |= zip(_numbers(self._inputs, at), shapes.learned(), strict=True)
        sets: dict[str, dict[str, Any]] = {}
        for number, one in enumerate(self._inputs.shapes):
            parameters = found[number]
            if one.membership.type == "triangular":
                del parameters[2]  # its plateau is its top
            sets.setdefault(one.fuzzy_set, {})[one.label] = {
                "type": one.membership.type,
                "parameters": parameters,
            }
        return sets


def whole(count: int) -> int:
    """`count` up to the next multiple of what a processor computes at a time.

    PyTorch computes what is left over by another exp, whose last bit may differ: a degree would depend
    on the place of its row among others.
    """
    return -(-count // LANES) * LANES


def kind_of(inputs: Inputs, feature: Feature) -> str:
    """What computes a feature: its name among a layer's modules."""
    return RAW if feature.shape is None else KINDS[inputs.shapes[feature.shape].membership.type]


def shapes_of(inputs: Inputs, at: Sequence[int], *, learnable: bool = False) -> Shapes:
    """The membership functions of the features with indices `at`, which are all of one kind."""
    numbers = _numbers(inputs, at)
    parameters = [_parameters(inputs.shapes[number].membership) for number in numbers]
    which = [numbers.index(inputs.features[index].shape or 0) for index in at]
    return MODULES[kind_of(inputs, inputs.features[at[0]])](parameters, which, learnable=learnable)


def _numbers(inputs: Inputs, at: Sequence[int]) -> list[int]:
    """Which of the shapes the features with indices `at` have."""
    return sorted({number for index in at if (number := inputs.features[index].shape) is not None})


def _parameters(one: Membership) -> tuple[float, ...]:
    """A triangle is a trapezoid whose plateau has no width."""
    p = one.parameters
    return (p[0], p[1], p[1], p[2]) if one.type == "triangular" else p


def _column(values: Numbers | None, at: Sequence[int], default: float) -> torch.Tensor:
    chosen = [default if values is None else float(values[index]) for index in at]
    return torch.tensor(chosen, dtype=torch.float32).unsqueeze(1)
