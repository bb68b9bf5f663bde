"""The optimizers without their classes: the same numbers, and none of the compiler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from ktrdr.domain.strategies import Training
from ktrdr.training.optimizers import Optimizer, build_optimizer

RATE = 0.003
Theirs = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
EQUALS: dict[str, tuple[dict[str, Any], Theirs]] = {
    "adam": ({}, lambda p: torch.optim.Adam(p, lr=RATE, fused=True)),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.05},
        lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.05, fused=True),
    ),
    "adamw, its own decay": ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, lr=RATE, fused=True)),
    "sgd": ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, lr=RATE, fused=True)),
    "sgd, momentum": (
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, weight_decay=0.01, fused=True),
    ),
}


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def ours(model: nn.Module, kind: str) -> Optimizer:
    return build_optimizer(model.parameters(), Training(learning_rate=RATE, **EQUALS[kind][0]))


def descend(model: nn.Sequential, optimizer: Optimizer | torch.optim.Optimizer, steps: int) -> None:
    batches = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        inputs = torch.randn(32, 6, generator=batches)
        truth = torch.randint(0, 3, (32,), generator=batches)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), truth).backward()
        optimizer.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("kind", EQUALS)
def test_it_computes_what_the_class_of_pytorch_computes(kind: str) -> None:
    """After 50 steps no weight differs by a bit."""
    mine, reference = network(), network()
    descend(mine, ours(mine, kind), 50)
    descend(reference, EQUALS[kind][1](reference.parameters()), 50)
    assert same(mine, reference)
    assert not same(mine, network()), "nothing was learnt"


@pytest.mark.parametrize("kind", EQUALS)
def test_a_restored_optimizer_goes_on_as_if_nothing_had_been(kind: str) -> None:
    """Its state, copied to a new one, leads to the same weights."""
    whole = network()
    first = ours(whole, kind)
    descend(whole, first, 20)
    resumed = network()
    resumed.load_state_dict(whole.state_dict())
    second = ours(resumed, kind)
    second.restore({name: value.clone() for name, value in first.state().items()})
    descend(whole, first, 20)
    descend(resumed, second, 20)
    assert same(whole, resumed)


def test_a_parameter_without_a_gradient_stays() -> None:
    """What a batch does not touch is not moved, and moves nothing else."""
    model = network()
    spare = nn.Parameter(torch.ones(2))
    optimizer = build_optimizer([*model.parameters(), spare], Training(learning_rate=RATE))
    descend(model, optimizer, 3)
    assert torch.equal(spare, torch.ones(2))


def test_training_does_not_import_the_compiler() -> None:
    """torch._dynamo costs a worker most of a second before its first epoch; numba a third of one."""
    code = (
        "import sys, torch; from ktrdr.training.loop import train; from ktrdr.domain.strategies import *; "
        "from ktrdr.training.optimizers import build_optimizer; one = torch.nn.Linear(2, 1); "
        "it = build_optimizer(one.parameters(), Training()); "
        "one(torch.zeros(3, 2)).sum().backward(); it.step(); it.zero_grad(); "
        "torch.nn.utils.clip_grad_norm_(one.parameters(), 1.0); torch.nn.GRU(2, 2); "
        "print([name for name in ('torch._dynamo', 'numba', 'pandas') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
