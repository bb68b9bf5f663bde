"""What a trained network is worth on rows that it was not fitted on, next to what is had for nothing.

Results are plain JSON. A figure that does not exist (a precision of a class that is never predicted) is
None, and not a number that would pass a gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.domain.errors import StepFailed

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
Values = torch.Tensor | NDArray[Any]

CALIBRATION_BINS = 15  # Guo et al. 2017
LEAST_PROBABILITY = 1e-15  # in the log loss: one certain mistake must not make it infinite


def classification(
    truth: Values, probabilities: Values, classes: Sequence[str], directions: Sequence[int]
) -> dict[str, Any]:
    """The figures of m rows: truth (m,) as class numbers, probabilities (m, c).

    `classes` and `directions` name the c classes and say which position (-1, 0, 1) each speaks for; the
    vote is the most probable class. Log loss is in nats. The Brier score is the squared distance between
    probabilities and truth over all classes (Brier 1950), 0 to 2. Raises ValueError for no rows or shapes
    that do not match, and StepFailed for a probability that is not a number.
    """
    actual, odds = _classes(truth), _floats(probabilities)
    if odds.shape != (len(actual), len(classes)) or len(classes) != len(directions):
        raise ValueError(f"{len(actual)} rows of {len(classes)} classes have no odds of shape {odds.shape}")
    votes = odds.argmax(axis=1)
    confusion = _confusion(actual, votes, len(classes))
    chosen = np.maximum(odds[np.arange(len(actual)), actual], LEAST_PROBABILITY)
    certain = np.eye(len(classes))[actual]
    calibration_error, reliability = _calibration(odds.max(axis=1), votes == actual)
    return {
        "rows": len(actual),
        "accuracy": float(np.mean(votes == actual)),
        "balanced_accuracy": balanced_accuracy(actual, votes),
        "majority_accuracy": float(confusion.sum(axis=1).max() / len(actual)),
        "per_class": _per_class(confusion, classes),
        "confusion_matrix": confusion.tolist(),
        "log_loss": float(-np.mean(np.log(chosen))),
        "brier_score": float(np.mean(((odds - certain) ** 2).sum(axis=1))),
        "expected_calibration_error": calibration_error,
        "reliability": reliability,
        **_direction(np.take(directions, actual), np.take(directions, votes)),
    }


def regression(truth: Values, predicted: Values, training_mean: float) -> dict[str, Any]:
    """The figures of m rows, both (m,), in the unit of the target.

    R² and the baseline compare with predicting the mean of the training rows, the only mean that was
    known (Campbell and Thompson 2008): an R² below 0 is worse than that. Raises ValueError for no rows
    or shapes that do not match, and StepFailed for a value that is not a number.
    """
    actual, guess = _floats(truth), _floats(predicted)
    if actual.ndim != 1 or guess.shape != actual.shape:
        raise ValueError(f"a truth of shape {actual.shape} has no predictions of shape {guess.shape}")
    error, spread = guess - actual, actual - training_mean
    return {
        "rows": len(actual),
        "mae": float(np.mean(np.abs(error))),
        "rmse": math.sqrt(float(np.mean(error**2))),
        "r2": _r2(float(error @ error), float(spread @ spread)),
        "correlation": _correlation(actual, guess),
        "baseline_mae": float(np.mean(np.abs(spread))),
        **_direction(np.sign(actual).astype(np.int64), np.sign(guess).astype(np.int64)),
    }


def balanced_accuracy(truth: Values, votes: Values) -> float:
    """Mean recall over the classes that occur (Brodersen et al. 2010); one in their number by chance."""
    actual, voted = _classes(truth), _classes(votes)
    return float(np.mean([np.mean(voted[actual == one] == one) for one in np.unique(actual)]))


def _confusion(actual: Classes, votes: Classes, count: int) -> Classes:
    """(c, c) how many rows of each class (a row each) got which vote (a column each)."""
    if actual.min() < 0 or actual.max() >= count:
        raise ValueError(f"the classes are 0 to {count - 1}, not {actual.min()} to {actual.max()}")
    return np.bincount(actual * count + votes, minlength=count * count).reshape(count, count)


def _per_class(confusion: Classes, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    support, voted = confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        name: {
            "precision": _ratio(confusion[one, one], voted[one]),
            "recall": _ratio(confusion[one, one], support[one]),
            "f1": _ratio(2 * confusion[one, one], voted[one] + support[one]),
            "support": int(support[one]),
        }
        for one, name in enumerate(classes)
    }


def _calibration(confidence: Floats, right: NDArray[np.bool_]) -> tuple[float, list[dict[str, Any]]]:
    """How far confidence and accuracy are apart on average, and both for each bin of confidence.

    The expected calibration error of Guo et al. 2017 over equal-width bins, each open below.
    """
    upper = np.arange(1, CALIBRATION_BINS + 1) / CALIBRATION_BINS
    bins = np.minimum(np.searchsorted(upper, confidence, side="left"), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    confident = np.bincount(bins, confidence, CALIBRATION_BINS)
    hits = np.bincount(bins, right, CALIBRATION_BINS)
    table = [
        {
            "above": one / CALIBRATION_BINS,
            "up_to": (one + 1) / CALIBRATION_BINS,
            "confidence": _ratio(confident[one], counts[one]),
            "accuracy": _ratio(hits[one], counts[one]),
            "count": int(counts[one]),
        }
        for one in range(CALIBRATION_BINS)
    ]
    return float(np.abs(confident - hits).sum() / len(confidence)), table


def _direction(actual: Classes, voted: Classes) -> dict[str, Any]:
    """Of the rows where truth and vote both have a direction, the share that agree; a half by chance."""
    moving = (actual != 0) & (voted != 0)
    right = np.count_nonzero(actual[moving] == voted[moving])
    rows = int(np.count_nonzero(moving))
    return {"directional_accuracy": _ratio(right, rows), "directional_rows": rows}


def _r2(left: float, spread: float) -> float | None:
    unexplained = left / spread if spread > 0.0 else math.inf
    return 1.0 - unexplained if math.isfinite(unexplained) else None


def _correlation(one: Floats, other: Floats) -> float | None:
    if one.min() == one.max() or other.min() == other.max():
        return None  # where rounding would leave a deviation from the mean
    a, b = one - one.mean(), other - other.mean()
    scale = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(np.clip((a @ b) / scale, -1.0, 1.0)) if scale > 0.0 else None


def _ratio(part: SupportsFloat, whole: SupportsFloat) -> float | None:
    return float(part) / float(whole) if float(whole) else None


def _classes(values: Values) -> Classes:
    classes = _array(values)
    if classes.ndim != 1 or not len(classes):
        raise ValueError(f"classes of shape {classes.shape} are nothing to measure")
    return classes.astype(np.int64)


def _floats(values: Values) -> Floats:
    floats = _array(values).astype(np.float64)
    if not len(floats):
        raise ValueError("no rows are nothing to measure")
    wrong = np.flatnonzero(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1))
    if len(wrong):
        raise StepFailed(
            "NOT_FINITE",
            f"The prediction or the truth of row {int(wrong[0])} is not a number; the network is of no use. "
            "Lower training.learning_rate and start anew.",
        )
    return floats


def _array(values: Values) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
