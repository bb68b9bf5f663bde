"""The fuzzy layer: its shapes, what it makes of odd readings, and what it learns."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.data.fuzzy import FuzzyLayer
from ktrdr.data.inputs import Feature, Inputs, Reading, Shape
from ktrdr.domain.strategies import Membership

NUMBERS = st.floats(-1e4, 1e4, width=32)
WIDTHS = st.sampled_from([0.0, 0.25, 1.0, 3.5, 100.0])
FORMS: dict[str, Any] = {
    "triangle": [10, 25, 40],
    "trapezoid": [30, 45, 55, 70],
    "left_step": [0, 0, 30],
    "right_step": [70, 100, 100],
    "shoulder": [0, 0, 15, 25],
    "box": [5, 5, 9, 9],
    "bell": {"type": "gaussian", "parameters": [50, 8]},
    "rising": {"type": "sigmoid", "parameters": [50, 0.4]},
    "falling": {"type": "sigmoid", "parameters": [20, -1.5]},
}


def shaped(forms: dict[str, Any]) -> Inputs:
    """One reading, and the labels of one set of it."""
    shapes = tuple(Shape("set", label, Membership.model_validate(one)) for label, one in forms.items())
    features = tuple(Feature(f"1d_set_{one.label}", 0, number) for number, one in enumerate(shapes))
    return Inputs((Reading("1d_x", "1d", "x", 0),), shapes, features)


def degrees(form: Any, readings: list[float], *, learnable: bool = False) -> list[float]:
    layer = FuzzyLayer(shaped({"label": form}), learnable=learnable)
    found = layer(torch.tensor(readings, dtype=torch.float32).unsqueeze(1))
    return [float(one) for one in found.detach()[:, 0]]


def expected(one: Membership, x: float) -> float:
    """The shapes by cases, in Python's own double precision."""
    p = one.parameters
    if one.type == "gaussian":
        return math.exp(-((x - p[0]) ** 2) / (2.0 * p[1] ** 2))
    if one.type == "sigmoid":
        return 1.0 / (1.0 + math.exp(-p[1] * (x - p[0])))
    left, top, plateau, right = (p[0], p[1], p[1], p[2]) if one.type == "triangular" else p
    if top <= x <= plateau:
        return 1.0
    if x <= left or x >= right:
        return 0.0
    return (x - left) / (top - left) if x < top else (right - x) / (right - plateau)


@st.composite
def forms(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["triangular", "trapezoidal", "gaussian", "sigmoid"]))
    first = draw(NUMBERS)
    if kind == "gaussian":
        return {"type": kind, "parameters": [first, draw(st.floats(0.01, 100.0))]}
    if kind == "sigmoid":
        return {"type": kind, "parameters": [first, draw(st.sampled_from([-20.0, -0.3, 0.01, 5.0]))]}
    points = [first]
    for _ in range(2 if kind == "triangular" else 3):
        points.append(float(np.float32(points[-1] + draw(WIDTHS))))
    if points[0] == points[-1]:
        points[-1] += 1.0
    return {"type": kind, "parameters": points}


@given(forms(), st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_degree_is_the_shapes_formula(form: Any, readings: list[float]) -> None:
    """Within what single precision leaves of a reading beside the width of the set."""
    one = Membership.model_validate(form)
    near = [float(np.float32(p)) for p in one.parameters]
    for x, found in zip([*readings, *near], degrees(form, [*readings, *near]), strict=True):
        assert 0.0 <= found <= 1.0
        if one.type == "sigmoid" and abs(one.parameters[1] * (x - one.parameters[0])) > 700.0:
            assert found in (0.0, 1.0)
            continue
        assert found == pytest.approx(expected(one, x), abs=3e-4)


@pytest.mark.parametrize(
    ("form", "readings", "wanted"),
    [
        ([0, 1, 3], [-1, 0, 0.5, 1, 2, 3, 4], [0, 0, 0.5, 1, 0.5, 0, 0]),
        ([0, 1, 2, 4], [0, 0.5, 1, 2, 3, 4], [0, 0.5, 1, 1, 0.5, 0]),
        ([0, 0, 2], [-0.1, 0, 1, 2], [0, 1, 0.5, 0]),
        ([0, 2, 2], [0, 1, 2, 2.1], [0, 0.5, 1, 0]),
        ([1, 1, 3, 3], [0.9, 1, 2, 3, 3.1], [0, 1, 1, 1, 0]),
        ({"type": "gaussian", "parameters": [1, 2]}, [1], [1]),
        ({"type": "sigmoid", "parameters": [1, 2]}, [1], [0.5]),
    ],
)
def test_at_its_points_a_degree_is_exact(form: Any, readings: list[float], wanted: list[float]) -> None:
    assert degrees(form, readings) == wanted


def test_next_to_a_step_there_is_nothing_between_0_and_1() -> None:
    below = float(np.nextafter(np.float32(30), np.float32(0)))
    above = float(np.nextafter(np.float32(30), np.float32(99)))
    assert degrees([30, 30, 60], [below, 30.0]) == [0.0, 1.0]
    assert degrees([0, 30, 30], [30.0, above]) == [1.0, 0.0]


@given(forms(), st.lists(NUMBERS, min_size=2, max_size=20))
def test_flanks_are_monotone(form: Any, readings: list[float]) -> None:
    """A degree rises up to the top of its shape and falls after it; a sigmoid goes one way."""
    one = Membership.model_validate(form)
    p = one.parameters
    ordered = sorted(readings)
    found = degrees(form, ordered)
    rises = one.type == "sigmoid" and p[1] > 0
    top = {"gaussian": p[0], "sigmoid": math.inf if rises else -math.inf}.get(one.type, p[1])
    end = p[2] if one.type == "trapezoidal" else top
    before = [degree for x, degree in zip(ordered, found, strict=True) if x <= top]
    after = [degree for x, degree in zip(ordered, found, strict=True) if x >= end]
    assert before == sorted(before)
    assert after == sorted(after, reverse=True)


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("label", FORMS)
def test_odd_readings_have_a_stated_degree(label: str, learnable: bool) -> None:
    """NaN stays NaN; what is infinite or huge has the limit of the shape."""
    found = degrees(FORMS[label], [math.nan, math.inf, 3e38, -math.inf, -3e38], learnable=learnable)
    high, low = {"rising": (1.0, 0.0), "falling": (0.0, 1.0)}.get(label, (0.0, 0.0))
    assert math.isnan(found[0])
    assert found[1:] == [high, high, low, low]


def test_one_bad_reading_spoils_its_own_features_only() -> None:
    layer = FuzzyLayer(two_timeframes())
    found = layer(torch.tensor([[math.nan, 20.0], [20.0, 20.0]]))
    assert torch.isnan(found[0]).tolist() == [True, True, False, False, True]
    assert not torch.isnan(found[1]).any()


def two_timeframes() -> Inputs:
    """A set at two timeframes, a raw reading after them."""
    one = shaped({"low": [0, 25, 40], "high": {"type": "sigmoid", "parameters": [60, 0.2]}})
    readings = (Reading("5m_x", "5m", "x", 0), Reading("1h_x", "1h", "x", 0))
    names = [(timeframe, number) for timeframe in (0, 1) for number in (0, 1)]
    features = tuple(Feature(f"{a}_{b}", a, b) for a, b in names)
    return Inputs(readings, one.shapes, (*features, Feature("5m_x", 0, None)))


def test_features_stand_in_the_order_of_the_inputs() -> None:
    """Whatever computes them: a raw reading last, two kinds of shape in turn."""
    layer = FuzzyLayer(two_timeframes(), [0.0] * 4 + [10.0], [1.0] * 4 + [4.0])
    found = layer(torch.tensor([[20.0, 60.0]]))[0].tolist()
    low, high = [Membership.model_validate([0, 25, 40]), two_timeframes().shapes[1].membership]
    wanted = [expected(low, 20.0), expected(high, 20.0), 0.0, 0.5, (20.0 - 10.0) / 4.0]
    assert found == pytest.approx(wanted, rel=1e-6)


def test_a_sequence_is_computed_row_by_row() -> None:
    """A recurrent network feeds (batch, steps, r)."""
    layer = FuzzyLayer(two_timeframes())
    readings = torch.rand(3, 5, 2) * 100.0
    assert torch.equal(layer(readings)[1, 4], layer(readings[1])[4])
    assert layer(readings).shape == (3, 5, 5)


def nudged(seed: int, steps: int, rate: float, inputs: Inputs) -> FuzzyLayer:
    """A learnable layer after random steps of gradient descent; every gradient on the way is a number."""
    random = torch.Generator().manual_seed(seed)
    layer = FuzzyLayer(inputs, learnable=True)
    weights = torch.randn(len(inputs.features), generator=random)
    for _ in range(steps):
        readings = torch.rand(64, len(inputs.readings), generator=random) * 120.0 - 10.0
        loss = (layer(readings) * weights).sum()
        layer.zero_grad()
        loss.backward()
        with torch.no_grad():
            for one in layer.parameters():
                assert one.grad is not None
                assert torch.isfinite(one.grad).all()
                one.sub_(rate * one.grad)
    return layer


def test_learnable_sets_start_as_the_fixed_ones_bit_for_bit() -> None:
    readings = torch.linspace(-20.0, 120.0, 5003).unsqueeze(1)
    fixed, learnable = FuzzyLayer(shaped(FORMS)), FuzzyLayer(shaped(FORMS), learnable=True)
    assert torch.equal(fixed(readings), learnable(readings))
    assert [*fixed.parameters()] == []
    assert learnable.learned() == fixed.learned()
    assert fixed.learned()["set"] == {
        label: Membership.model_validate(one).model_dump(mode="json") for label, one in FORMS.items()
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.001, 0.05, 1.0, 30.0]))
def test_points_keep_their_order_however_they_are_moved(seed: int, rate: float) -> None:
    """What was learnt is valid in the grammar, and a width of zero is still zero."""
    layer = nudged(seed, 12, rate, shaped(FORMS))
    learned = layer.learned()["set"]
    for label, one in learned.items():
        assert Membership.model_validate(one).parameters == tuple(one["parameters"])
        assert all(math.isfinite(number) for number in one["parameters"])
        written = Membership.model_validate(FORMS[label])
        if written.type in ("triangular", "trapezoidal"):
            for was, now in zip(np.diff(written.parameters), np.diff(one["parameters"]), strict=True):
                assert (was == 0.0) == (now == 0.0)
    assert learned["rising"]["parameters"][1] > 0.0 > learned["falling"]["parameters"][1]
    found = layer(torch.linspace(-1e3, 1e3, 999).unsqueeze(1))
    assert ((found >= 0.0) & (found <= 1.0)).all()


def test_what_was_learnt_is_what_is_computed() -> None:
    """A fixed layer of the learnt points gives the degrees of the learnable one."""
    layer = nudged(5, 30, 0.01, shaped(FORMS))
    again = FuzzyLayer(shaped(layer.learned()["set"]))
    readings = torch.linspace(-20.0, 120.0, 997).unsqueeze(1)
    away = (layer(readings) - again(readings)).abs().detach()
    steps = [index for index, label in enumerate(FORMS) if "step" in label or label in ("shoulder", "box")]
    assert float(away[:, [index for index in range(len(FORMS)) if index not in steps]].max()) < 1e-5
    assert layer.learned() != FuzzyLayer(shaped(FORMS)).learned()


def test_one_learning_rate_suits_sets_of_any_size() -> None:
    """The same set in other units moves by the same share of its width."""
    small = {"low": [0.0, 0.25, 0.5], "high": {"type": "gaussian", "parameters": [0.5, 0.125]}}
    large = {"low": [0.0, 256.0, 512.0], "high": {"type": "gaussian", "parameters": [512.0, 128.0]}}
    readings = torch.linspace(0.0, 0.6, 50).unsqueeze(1)
    moved = []
    for inputs, scale in ((shaped(small), 1.0), (shaped(large), 1024.0)):
        layer = FuzzyLayer(inputs, learnable=True)
        layer(readings * scale).sum().backward()
        moved.append(torch.cat([one.grad.flatten() for one in layer.parameters() if one.grad is not None]))
    torch.testing.assert_close(moved[0], moved[1])


@pytest.mark.parametrize("label", FORMS)
def test_gradients_are_those_of_the_degrees(label: str) -> None:
    """In double precision against finite differences, for the readings and for what is learnt."""
    layer = FuzzyLayer(shaped({label: FORMS[label]}), learnable=True).double()
    (offsets,) = layer.parameters()
    start = torch.linspace(-0.02, 0.03, offsets.numel(), dtype=torch.float64).reshape(offsets.shape)
    points = torch.tensor([[-3.1], [7.3], [17.7], [33.3], [38.9], [52.1], [66.7], [90.3], [101.9]])
    readings = points.double().requires_grad_()

    def at(x: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        (name,) = [one for one, _ in layer.named_parameters()]
        found = torch.func.functional_call(layer, {name: moved}, (x,))
        assert isinstance(found, torch.Tensor)
        return found

    assert torch.autograd.gradcheck(at, (readings, start.requires_grad_()))


def test_no_gradient_is_nan_at_kinks_steps_and_odd_readings() -> None:
    layer = FuzzyLayer(shaped(FORMS), learnable=True)
    corners = sorted({float(p) for one in FORMS.values() if isinstance(one, list) for p in one})
    odd = [math.inf, -math.inf, 3e38, -3e38, 1e30, 50.0]
    near = [
        float(np.nextafter(np.float32(one), np.float32(toward))) for one in corners for toward in (-9, 999)
    ]
    readings = torch.tensor([*corners, *near, *odd]).unsqueeze(1).requires_grad_()
    layer(readings).sum().backward()
    for one in (readings, *layer.parameters()):
        assert one.grad is not None
        assert torch.isfinite(one.grad).all()
        assert float(one.grad.abs().max()) < 1e3


def test_the_state_is_what_the_strategy_does_not_say() -> None:
    """A layer that was made without a scaling takes it from the state."""
    inputs = two_timeframes()
    assert list(FuzzyLayer(shaped(FORMS)).state_dict()) == []
    scaled = FuzzyLayer(inputs, [1.0] * 5, [2.0] * 5, learnable=True)
    assert sorted(scaled.state_dict()) == ["deviation", "flanks.offsets", "mean", "sigmoids.offsets"]
    with torch.no_grad():
        for one in scaled.parameters():
            one.add_(0.01)
    other = FuzzyLayer(inputs, learnable=True)
    other.load_state_dict(scaled.state_dict())
    values = torch.rand(20, 2) * 100.0
    assert torch.equal(other(values), scaled(values))
    assert other.learned() == scaled.learned()


def test_timeframes_share_what_is_learnt() -> None:
    """Or the result could not be written back into the strategy's file."""
    layer = nudged(3, 20, 0.05, two_timeframes())
    found = layer(torch.tensor([[33.0, 33.0]]))[0]
    assert found[:2].equal(found[2:4])
    assert sorted(layer.learned()["set"]) == ["high", "low"]


def test_the_layer_imports_no_compiler() -> None:
    """A worker that imports it has as much to show as one that imports torch alone."""
    code = (
        "import sys, torch; before = set(sys.modules); from ktrdr.data.fuzzy import FuzzyLayer; "
        "new = set(sys.modules) - before; print([one for one in new if one.startswith('torch._dynamo')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
