"""Fuzzy sets as one layer of a network: from readings of indicators to degrees of membership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ktrdr.data.inputs import Inputs
from ktrdr.data.memberships import Flanks, Gaussians, Shapes, Sigmoids, Steps
from ktrdr.domain.strategies import Membership

Numbers = Sequence[float] | NDArray[np.float64]
SHAPES: dict[str, type[Shapes]] = {
    "flanks": Flanks,
    "steps": Steps,
    "gaussians": Gaussians,
    "sigmoids": Sigmoids,
}


class FuzzyLayer(nn.Module):
    """Readings (..., r) → features (..., k), in the grammar's order.

    Fixed and learnable sets start with the same numbers, bit for bit. Timeframes of a fuzzy set share
    its parameters, as they do in the strategy's file. A raw reading is scaled by its mean and deviation,
    each (k,) as fitted on training rows, and left as it is without them. The state dict holds what the
    strategy does not say: the scaling, and what was learnt.

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
        self._numbers: dict[str, list[int]] = {}  # which of the strategy's shapes a module has
        order: list[int] = []
        for kind in ("raw", *SHAPES):
            at = [index for index, one in enumerate(inputs.features) if _kind(inputs, one.shape) == kind]
            order += at
            rows = torch.tensor([inputs.features[index].reading for index in at], dtype=torch.int64)
            self.register_buffer(f"{kind}_rows", rows, persistent=False)
            if at and kind != "raw":
                self.add_module(kind, self._shapes(kind, at, learnable))
        self.register_buffer("order", torch.tensor(order).argsort(), persistent=False)
        raw = [index for index, one in enumerate(inputs.features) if one.shape is None]
        if raw:
            self.register_buffer("mean", _column(mean, raw, 0.0))
            self.register_buffer("deviation", _column(deviation, raw, 1.0))

    def forward(self, readings: torch.Tensor) -> torch.Tensor:
        features = self.degrees(readings.reshape(-1, readings.shape[-1]).t())
        return features.t().contiguous().reshape(*readings.shape[:-1], -1)

    def degrees(self, readings: torch.Tensor) -> torch.Tensor:
        """Readings (r, m), one reading in a row → features (k, m), one feature in a row."""
        parts = []
        if len(rows := self.get_buffer("raw_rows")):
            parts.append((readings.index_select(0, rows) - self.mean) / self.deviation)
        for kind, shapes in self.named_children():
            parts.append(shapes(readings.index_select(0, self.get_buffer(f"{kind}_rows"))))
        return parts[0] if len(parts) == 1 else torch.cat(parts).index_select(0, self.order)

    def learned(self) -> dict[str, dict[str, Any]]:
        """By fuzzy set and label: its shape and parameters as they are now, in the grammar's words."""
        found: dict[int, list[float]] = {}
        for kind, numbers in self._numbers.items():
            found |= zip(numbers, self.get_submodule(kind).learned(), strict=True)  # type: ignore[operator]
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

    def _shapes(self, kind: str, at: Sequence[int], learnable: bool) -> Shapes:
        used = [number for index in at if (number := self._inputs.features[index].shape) is not None]
        numbers = sorted(set(used))
        self._numbers[kind] = numbers
        parameters = [_parameters(self._inputs.shapes[number].membership) for number in numbers]
        return SHAPES[kind](parameters, [numbers.index(number) for number in used], learnable=learnable)


def _kind(inputs: Inputs, shape: int | None) -> str:
    """Which module computes a feature. A width of zero is one of zero in single precision."""
    if shape is None:
        return "raw"
    one = inputs.shapes[shape].membership
    if one.type in ("gaussian", "sigmoid"):
        return f"{one.type}s"
    left, top, plateau, right = np.asarray(_parameters(one), dtype=np.float32)
    return "steps" if left == top or plateau == right else "flanks"


def _parameters(one: Membership) -> tuple[float, ...]:
    """A triangle is a trapezoid whose plateau has no width."""
    p = one.parameters
    return (p[0], p[1], p[1], p[2]) if one.type == "triangular" else p


def _column(values: Numbers | None, at: Sequence[int], default: float) -> torch.Tensor:
    chosen = [default for _ in at] if values is None else [float(values[index]) for index in at]
    return torch.tensor(chosen, dtype=torch.float32).unsqueeze(1)
