"""Each loss against its formula, and its gradient against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.training.losses import class_weights, cross_entropy, focal, huber

WEIGHTS = (0.5, 2.0, 1.25)


def batch(
    seed: int, rows: int = 12, *, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn((rows, 3), generator=random, dtype=dtype)
    return logits, torch.randint(0, 3, (rows,), generator=random)


def by_hand(logits: torch.Tensor, targets: torch.Tensor, gamma: float, weights: tuple[float, ...]) -> float:
    losses, total = [], 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        p = math.exp(row[target]) / math.fsum(math.exp(one) for one in row)
        losses.append(-weights[target] * (1.0 - p) ** gamma * math.log(p))
        total += weights[target]
    return math.fsum(losses) / total


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]), st.booleans())
def test_focal_loss_is_its_formula(seed: int, gamma: float, weighted: bool) -> None:
    """With and without weights, of which the mean is a weighted one."""
    logits, targets = batch(seed)
    weights = WEIGHTS if weighted else (1.0, 1.0, 1.0)
    found = focal(logits, targets, gamma, torch.tensor(weights) if weighted else None)
    assert found.shape == ()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(by_hand(logits, targets, gamma, weights), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor(WEIGHTS)])
def test_without_gamma_focal_loss_is_cross_entropy(weights: torch.Tensor | None) -> None:
    """To the last bit, and gradients too; and as gamma gets small it gets near."""
    for seed in range(20):
        logits, targets = batch(seed, rows=250)
        one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        first, second = focal(one, targets, 0.0, weights), cross_entropy(other, targets, weights)
        first.backward()
        second.backward()
        assert torch.equal(first, second)
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
        near = focal(logits, targets, 1e-7, weights)
        assert near.item() == pytest.approx(first.item(), rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_its_formula(weights: tuple[float, ...] | None) -> None:
    logits, targets = batch(2)
    given_weights = None if weights is None else torch.tensor(weights)
    expected = by_hand(logits, targets, 0.0, weights or (1.0, 1.0, 1.0))
    assert cross_entropy(logits, targets, given_weights).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_are_those_of_finite_differences(gamma: float) -> None:
    """In double precision; weights are constants."""
    logits, targets = batch(3, dtype=torch.float64)
    logits.requires_grad_()
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: focal(x, targets, gamma, weights), (logits,))
    assert torch.autograd.gradcheck(lambda x: huber(x, torch.zeros_like(x), 1.0), (logits,))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [50.0, 1000.0])
def test_what_is_certain_has_a_finite_gradient(gamma: float, size: float) -> None:
    """Right or wrong beyond all doubt: 1 - p is 0 or 1 exactly, and no gradient is not a number."""
    logits = torch.tensor([[size, 0.0, -size], [-size, 0.0, size]], requires_grad=True)
    loss = focal(logits, torch.tensor([0, 0]), gamma)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert loss.item() == pytest.approx(size, rel=1e-5)


def test_gamma_takes_weight_from_what_is_easy() -> None:
    """The hard row's share of the loss grows with gamma."""
    logits, targets = torch.tensor([[4.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0])
    shares = [
        (focal(logits[1:], targets[1:], gamma) / (2 * focal(logits, targets, gamma))).item()
        for gamma in (0.0, 1.0, 2.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.99 < shares[2]


def test_huber_is_a_square_that_turns_into_a_line() -> None:
    """Half the square up to delta, delta times (the error less half of delta) beyond it."""
    errors, delta = [0.0, 0.5, -0.5, 1.5, -4.0, 2.0], 1.5
    expected = [0.5 * e * e if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in errors]
    found = huber(torch.tensor(errors), torch.zeros(6), delta)
    assert found.item() == pytest.approx(sum(expected) / 6)


def test_balanced_weights_make_every_class_weigh_the_same() -> None:
    """n / (c · count); a class without a row is left at 1."""
    found = class_weights("balanced", [10, 30, 60])
    assert found is not None
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([100 / 30, 100 / 90, 100 / 180])
    empty = class_weights("balanced", [10, 0])
    assert empty is not None
    assert empty.tolist() == [0.5, 1.0]
    assert class_weights(None, [1, 2]) is None


def test_what_no_loss_can_mean_is_refused() -> None:
    """A negative gamma, and predictions that would be spread over targets of another shape."""
    logits, targets = batch(4)
    with pytest.raises(ValueError, match="focal_gamma"):
        focal(logits, targets, -1.0)
    with pytest.raises(ValueError, match="do not fit"):
        huber(torch.zeros(3, 1), torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="balanced"):
        class_weights("even", [1, 2])  # type: ignore[arg-type]
