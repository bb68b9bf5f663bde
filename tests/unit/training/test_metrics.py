"""What a network is worth, each figure counted a second time by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ktrdr.domain.errors import StepFailed
from ktrdr.training.metrics import balanced_accuracy, classification, regression

NAMES = ("down", "flat", "up")
SIDES = (-1, 0, 1)
TRUTH = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 1])
ODDS = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.5, 0.3, 0.2],
        [0.1, 0.1, 0.8],
        [0.2, 0.6, 0.2],
        [0.4, 0.35, 0.25],
        [0.0, 0.1, 0.9],
        [0.1, 0.3, 0.6],
        [0.6, 0.1, 0.3],
        [0.3, 0.4, 0.3],
        [0.25, 0.5, 0.25],
    ]
)


def test_classification_is_what_one_counts() -> None:
    """Votes 0 0 2 1 0 2 2 0 1 1: six of ten are right."""
    found = classification(TRUTH, ODDS, NAMES, SIDES)
    assert found["rows"] == 10
    assert found["accuracy"] == pytest.approx(6 / 10)
    assert found["confusion_matrix"] == [[2, 0, 1], [1, 2, 0], [1, 1, 2]]
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 2 / 3 + 2 / 4) / 3)
    assert found["majority_accuracy"] == pytest.approx(4 / 10)
    assert found["per_class"]["down"] == pytest.approx(
        {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7, "support": 3}
    )
    assert found["per_class"]["flat"] == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 4 / 6, "support": 3}
    )
    assert found["per_class"]["up"] == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "support": 4}
    )
    chosen = [0.7, 0.5, 0.1, 0.6, 0.35, 0.9, 0.6, 0.3, 0.3, 0.5]
    assert found["log_loss"] == pytest.approx(-sum(math.log(p) for p in chosen) / 10)
    squares = [0.14, 0.38, 1.46, 0.24, 0.645, 0.02, 0.26, 0.86, 0.74, 0.375]
    assert found["brier_score"] == pytest.approx(sum(squares) / 10)


def test_direction_is_counted_where_both_have_one() -> None:
    """Rows 0, 1, 2, 5, 6 and 7 are up or down in truth and vote; four of these agree."""
    found = classification(TRUTH, ODDS, NAMES, SIDES)
    assert found["directional_rows"] == 6
    assert found["directional_accuracy"] == pytest.approx(4 / 6)


def test_classes_that_speak_for_one_side_agree_in_direction() -> None:
    """Of four classes by size the outer ones mean the same position as their neighbours."""
    odds = np.eye(4)[[1, 0, 3, 0]]
    found = classification(np.array([0, 0, 2, 3]), odds, list("abcd"), (-1, -1, 1, 1))
    assert found["accuracy"] == 1 / 4
    assert (found["directional_accuracy"], found["directional_rows"]) == (3 / 4, 4)


def test_calibration_is_confidence_against_accuracy() -> None:
    """Winners' odds .4 .4 .5 .5 .6 .6 .6 .7 .8 .9, each in the fifteenth that ends at or above it."""
    found = classification(TRUTH, ODDS, NAMES, SIDES)
    table = {round(one["up_to"] * 15): one for one in found["reliability"] if one["count"]}
    assert {bin: one["count"] for bin, one in table.items()} == {6: 2, 8: 2, 9: 3, 11: 1, 12: 1, 14: 1}
    assert table[9]["confidence"] == pytest.approx(0.6)
    assert table[9]["accuracy"] == pytest.approx(2 / 3)
    gaps = [2 * 0.4, 2 * 0.5, 3 * abs(0.6 - 2 / 3), 0.3, 0.8, 0.1]
    assert found["expected_calibration_error"] == pytest.approx(sum(gaps) / 10)
    empty = found["reliability"][0]
    assert empty == {"above": 0.0, "up_to": 1 / 15, "confidence": None, "accuracy": None, "count": 0}


def test_odds_that_are_true_have_no_calibration_error() -> None:
    """Outcomes drawn from the odds themselves: near 0, and far from it when the odds are sharpened."""
    rng = np.random.default_rng(1)
    odds = rng.dirichlet((1.0, 1.0, 1.0), 60_000)
    truth = (rng.random((60_000, 1)) > odds.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    assert classification(truth, odds, NAMES, SIDES)["expected_calibration_error"] < 0.01
    sharp = odds**3 / (odds**3).sum(axis=1, keepdims=True)
    assert classification(truth, sharp, NAMES, SIDES)["expected_calibration_error"] > 0.1


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Any truth and any odds; classes may be missing from either."""
    count, rows = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.integers(0, draw(st.integers(1, count)), rows)
    odds = rng.dirichlet(np.full(count, draw(st.sampled_from([0.01, 1.0]))), rows)
    return truth, odds, count


def measured(truth: Any, odds: Any, count: int) -> dict[str, Any]:
    return classification(truth, odds, [f"class_{one}" for one in range(count)], [0] * (count - 1) + [1])


@settings(deadline=None, max_examples=100)
@given(predictions())
def test_figures_can_always_be_written_down(case: tuple[Any, Any, int]) -> None:
    """Finite or null, in their range; the confusion matrix counts every row once."""
    truth, odds, count = case
    found = measured(truth, odds, count)
    json.dumps(found, allow_nan=False)
    assert np.sum(found["confusion_matrix"]) == len(truth)
    assert sum(one["support"] for one in found["per_class"].values()) == len(truth)
    assert sum(one["count"] for one in found["reliability"]) == len(truth)
    assert found["majority_accuracy"] == np.bincount(truth).max() / len(truth)
    for name in ("accuracy", "balanced_accuracy", "majority_accuracy", "expected_calibration_error"):
        assert 0.0 <= found[name] <= 1.0
    assert 0.0 <= found["brier_score"] <= 2.0 + 1e-12


@settings(deadline=None, max_examples=50)
@given(predictions(), st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(case: tuple[Any, Any, int], seed: int) -> None:
    truth, odds, count = case
    order = np.random.default_rng(seed).permutation(len(truth))
    first, second = measured(truth, odds, count), measured(truth[order], odds[order], count)
    for name, one in first.items():
        if isinstance(one, float):
            assert second[name] == pytest.approx(one, abs=1e-12), name
    assert first["confusion_matrix"] == second["confusion_matrix"]


@settings(deadline=None, max_examples=50)
@given(predictions())
def test_a_perfect_prediction_has_perfect_figures(case: tuple[Any, Any, int]) -> None:
    """Ones where a figure exists, zeros where it is a loss; as tensors just as well."""
    truth, _, count = case
    found = measured(torch.from_numpy(truth), torch.eye(count)[truth], count)
    assert found["accuracy"] == found["balanced_accuracy"] == 1.0
    assert found["log_loss"] == found["brier_score"] == found["expected_calibration_error"] == 0.0
    for one in found["per_class"].values():
        expected = 1.0 if one["support"] else None
        assert one["precision"] == one["recall"] == one["f1"] == expected
    assert found["directional_accuracy"] in (1.0, None)


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    """The log loss of a class that was given no chance at all is finite."""
    found = classification(np.array([0]), np.array([[0.0, 1.0, 0.0]]), NAMES, SIDES)
    assert found["log_loss"] == pytest.approx(-math.log(1e-15))
    assert found["per_class"]["up"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert (found["directional_accuracy"], found["directional_rows"]) == (None, 0)


def test_balanced_accuracy_counts_classes_and_not_rows() -> None:
    """Always saying what is common is right as often as chance is, over the classes that occur."""
    truth = torch.tensor([1] * 98 + [0, 2])
    assert balanced_accuracy(truth, torch.ones(100, dtype=torch.int64)) == pytest.approx(1 / 3)
    assert balanced_accuracy(truth[:99], torch.ones(99, dtype=torch.int64)) == pytest.approx(1 / 2)


def test_regression_is_what_one_counts() -> None:
    """Errors 1, -1, 0 and 2 of the targets 1, 2, -3 and 4, where training had a mean of 1."""
    found = regression(torch.tensor([1.0, 2.0, -3.0, 4.0]), torch.tensor([2.0, 1.0, -3.0, 6.0]), 1.0)
    assert found["mae"] == pytest.approx(1.0)
    assert found["rmse"] == pytest.approx(math.sqrt(6 / 4))
    assert found["r2"] == pytest.approx(1 - 6 / (0 + 1 + 16 + 9))
    assert found["baseline_mae"] == pytest.approx((0 + 1 + 4 + 3) / 4)
    assert found["correlation"] == pytest.approx(31.0 / math.sqrt(26.0 * 41.0))
    assert (found["directional_accuracy"], found["directional_rows"]) == (1.0, 4)


def test_predicting_the_training_mean_is_worth_nothing() -> None:
    """An R² of 0, the error of the baseline, and no correlation at all."""
    truth = np.random.default_rng(2).normal(0.2, 1.0, 50)
    found = regression(truth, np.full(50, 0.1), 0.1)
    assert found["r2"] == 0.0
    assert found["mae"] == found["baseline_mae"]
    assert found["correlation"] is None


def test_a_sign_is_right_or_wrong_where_there_is_one() -> None:
    """A target or a prediction of exactly 0 has none."""
    found = regression(np.array([1.0, -1.0, 0.0, 2.0]), np.array([0.5, 0.5, 0.5, 0.0]), 0.0)
    assert (found["directional_accuracy"], found["directional_rows"]) == (0.5, 2)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30)), min_size=1, max_size=20),
    st.floats(-1e30, 1e30),
)
def test_figures_of_a_regression_can_always_be_written_down(rows: list[Any], mean: float) -> None:
    """Finite or null, also of a single row, a constant, or numbers that are all but nothing."""
    truth, predicted = np.array(rows).T
    found = regression(truth, predicted, mean)
    json.dumps(found, allow_nan=False)
    assert found["correlation"] is None or -1.0 <= found["correlation"] <= 1.0


def test_a_perfect_regression_has_no_error() -> None:
    truth = np.array([0.1, -0.2, 0.3])
    found = regression(truth, truth, 0.0)
    assert (found["mae"], found["rmse"], found["r2"]) == (0.0, 0.0, 1.0)
    assert found["correlation"] == pytest.approx(1.0)
    assert regression(np.ones(3), np.ones(3), 1.0)["r2"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_not_measured(value: float) -> None:
    """A network that has diverged fails by name: its figures would be zeros that look like results."""
    odds = ODDS.copy()
    odds[3, 1] = value
    with pytest.raises(StepFailed, match="row 3") as failed:
        classification(TRUTH, odds, NAMES, SIDES)
    assert failed.value.step_code == "NOT_FINITE"
    with pytest.raises(StepFailed, match="row 1"):
        regression(np.zeros(2), np.array([0.0, value]), 0.0)


def test_what_does_not_fit_together_is_refused() -> None:
    """No rows, a class too many, predictions of another length: nothing is broadcast in silence."""
    with pytest.raises(ValueError, match="nothing to measure"):
        classification(np.array([]), np.empty((0, 3)), NAMES, SIDES)
    with pytest.raises(ValueError, match="nothing to measure"):
        regression(np.array([]), np.array([]), 0.0)
    with pytest.raises(ValueError, match="0 to 2"):
        classification(np.array([3]), np.array([[0.2, 0.3, 0.5]]), NAMES, SIDES)
    with pytest.raises(ValueError, match="shape"):
        classification(TRUTH, ODDS[:9], NAMES, SIDES)
    with pytest.raises(ValueError, match="shape"):
        regression(np.ones(3), np.ones((3, 1)), 0.0)
