"""The optimizer without the class: the same numbers, and none of the compiler."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from ktrdr.training.adam import Adam


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def descend(model: nn.Sequential, optimizer: Adam | torch.optim.Adam, steps: int) -> None:
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


def test_it_computes_what_the_class_of_pytorch_computes() -> None:
    """After 50 steps no weight differs by a bit from torch.optim.Adam's."""
    ours, theirs = network(), network()
    descend(ours, Adam(ours.parameters(), 0.003), 50)
    descend(theirs, torch.optim.Adam(theirs.parameters(), lr=0.003, fused=True), 50)
    assert same(ours, theirs)
    assert not same(ours, network()), "nothing was learnt"


def test_a_restored_optimizer_goes_on_as_if_nothing_had_been() -> None:
    """Its state, copied to a new one, leads to the same weights."""
    whole = network()
    first = Adam(whole.parameters(), 0.003)
    descend(whole, first, 20)
    resumed = network()
    resumed.load_state_dict(whole.state_dict())
    second = Adam(resumed.parameters(), 0.003)
    second.restore({name: value.clone() for name, value in first.state().items()})
    descend(whole, first, 20)
    descend(resumed, second, 20)
    assert same(whole, resumed)


def test_training_does_not_import_the_compiler() -> None:
    """torch._dynamo costs a worker most of a second before its first epoch."""
    code = (
        "import sys, torch; from ktrdr.training.loop import train; from ktrdr.training.adam import Adam; "
        "one = torch.nn.Linear(2, 1); it = Adam(one.parameters(), 0.1); "
        "one(torch.zeros(3, 2)).sum().backward(); it.step(); it.zero_grad(); "
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
