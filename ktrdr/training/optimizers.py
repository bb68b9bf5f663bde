"""Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019) and SGD by PyTorch's fused kernels.

The classes in `torch.optim` import PyTorch's compiler when they are made: most of a second in which a
worker has nothing to show. The functions behind them do not, and their numbers are the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from ktrdr.domain.strategies import Training

BETAS = (0.9, 0.999)
EPSILON = 1e-8
ADAMW_DECAY = 0.01  # what PyTorch's AdamW takes when nothing is said

Tensors = dict[str, torch.Tensor]


class Optimizer(Protocol):
    """Moves parameters by their gradients, at the rate of the epoch."""

    rate: float

    def zero_grad(self) -> None: ...
    def step(self) -> None: ...
    def state(self) -> Tensors: ...
    def restore(self, state: Mapping[str, torch.Tensor]) -> None: ...


def build_optimizer(parameters: Iterable[torch.nn.Parameter], training: Training) -> Optimizer:
    """The optimizer that the strategy asks for; Adam when it does not."""
    if training.optimizer == "sgd":
        return SGD(parameters, training.learning_rate, training.momentum or 0.0, training.weight_decay or 0.0)
    decoupled = training.optimizer == "adamw"
    decay = training.weight_decay if training.weight_decay is not None else ADAMW_DECAY
    return Adam(parameters, training.learning_rate, decay if decoupled else 0.0)


class _Stateful:
    """What the optimizers share: parameters, and per parameter a tensor of each name."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], rate: float) -> None:
        self.rate = rate
        self._parameters = [*parameters]
        self._moments: dict[str, list[torch.Tensor]] = {}

    def zero_grad(self) -> None:
        for one in self._parameters:
            one.grad = None

    def state(self) -> Tensors:
        """By `index of the parameter.name`; the tensors go on changing."""
        return {
            f"{index}.{name}": tensor
            for name, tensors in self._moments.items()
            for index, tensor in enumerate(tensors)
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        for key, tensor in self.state().items():
            tensor.copy_(state[key])

    def _gradients(self) -> list[torch.Tensor]:
        return [torch.zeros_like(one) if one.grad is None else one.grad for one in self._parameters]


class Adam(_Stateful):
    """With a `decay` it is AdamW: weights shrink by it apart from the gradient."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], rate: float, decay: float = 0.0) -> None:
        super().__init__(parameters, rate)
        self._decay = decay
        self._moments = {
            "step": [torch.zeros((), device=one.device) for one in self._parameters],
            "exp_avg": [torch.zeros_like(one) for one in self._parameters],
            "exp_avg_sq": [torch.zeros_like(one) for one in self._parameters],
        }

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters by the gradients that `backward` has left in them."""
        adam(
            [*self._parameters],
            self._gradients(),
            self._moments["exp_avg"],
            self._moments["exp_avg_sq"],
            [],
            self._moments["step"],
            fused=True,
            decoupled_weight_decay=self._decay > 0.0,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.rate,
            weight_decay=self._decay,
            eps=EPSILON,
            maximize=False,
        )


class SGD(_Stateful):
    """With momentum (Sutskever et al. 2013), as PyTorch writes it; the decay is L2."""

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], rate: float, momentum: float, decay: float
    ) -> None:
        super().__init__(parameters, rate)
        self._momentum, self._decay = momentum, decay
        # A buffer of zeros is what the first step would make: buffer = momentum · 0 + gradient.
        self._moments = {"momentum": [torch.zeros_like(one) for one in self._parameters]} if momentum else {}

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters by the gradients that `backward` has left in them."""
        buffers: list[torch.Tensor | None] = [*self._moments.get("momentum", [])]
        sgd(
            [*self._parameters],
            self._gradients(),
            buffers or [None for _ in self._parameters],
            fused=True,
            weight_decay=self._decay,
            momentum=self._momentum,
            lr=self.rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
