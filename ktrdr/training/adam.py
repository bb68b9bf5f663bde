"""Adam (Kingma and Ba 2015) by PyTorch's fused kernel.

The class `torch.optim.Adam` imports PyTorch's compiler when it is made: most of a second in which a
worker has nothing to show. The function behind it does not, and its numbers are the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """The optimizer of one network; its state is three tensors a parameter."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], rate: float) -> None:
        self._parameters = [*parameters]
        self._rate = rate
        self._state = {
            "step": [torch.zeros(()) for _ in self._parameters],
            "exp_avg": [torch.zeros_like(one) for one in self._parameters],
            "exp_avg_sq": [torch.zeros_like(one) for one in self._parameters],
        }

    def zero_grad(self) -> None:
        for one in self._parameters:
            one.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters by the gradients that `backward` has left in them."""
        adam(
            [*self._parameters],
            [one.grad for one in self._parameters if one.grad is not None],
            self._state["exp_avg"],
            self._state["exp_avg_sq"],
            [],
            self._state["step"],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def state(self) -> dict[str, torch.Tensor]:
        """By `index of the parameter.name`; the tensors go on changing."""
        return {
            f"{index}.{name}": tensor
            for name, tensors in self._state.items()
            for index, tensor in enumerate(tensors)
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        for key, tensor in self.state().items():
            tensor.copy_(state[key])
