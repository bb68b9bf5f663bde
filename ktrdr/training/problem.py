"""What is trained on what: walk-forward fits, purged, and one final fit on all development bars."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.features import FeatureMatrix, Scaler, compute_features, fit_scaler
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.market import midnight
from ktrdr.domain.strategies import Strategy

FINAL = "final"
CLASSES = 3  # down, flat, up
FLAT = 1
MIN_TRAINING_ROWS = 100


@dataclass(frozen=True, eq=False)
class Fold:
    """Trains on rows [first, train_end), predicts rows [block_first, block_last).

    Between the two lie `horizon` rows whose labels would see into the block: the purge.
    """

    name: str
    first: int
    train_end: int
    block_first: int
    block_last: int
    scaler: Scaler
    edges: tuple[float, float]  # forward returns that separate down, flat and up, from training rows


@dataclass(frozen=True)
class Fit:
    """One network: a fold, a member of its ensemble, and the seed of both."""

    fold: int
    member: int
    seed: int


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a training needs, and nothing after the development segment."""

    strategy: Strategy
    features: FeatureMatrix
    forward: NDArray[np.float64]  # (n,) forward return of each bar; NaN where it is not known
    folds: tuple[Fold, ...]  # the last one is the final fit
    fits: tuple[Fit, ...]

    @property
    def epochs(self) -> int:
        return self.strategy.training.epochs

    @property
    def total_epochs(self) -> int:
        return len(self.fits) * self.epochs

    def inputs(self, fold: Fold, first: int, last: int) -> torch.Tensor:
        """Scaled features of rows [first, last), float32."""
        return torch.from_numpy(fold.scaler.apply(self.features.values[first:last]).astype(np.float32))

    def labels(self, fold: Fold, first: int, last: int) -> torch.Tensor:
        """Classes 0, 1, 2 of rows [first, last) by the fold's own edges."""
        return torch.from_numpy(np.digitize(self.forward[first:last], fold.edges).astype(np.int64))


def build_problem(bars: Bars, strategy: Strategy, seed: int) -> Problem:
    """Folds by time over the bars of the strategy's date range that are warm.

    What lies after the range is cut off before anything is computed. Raises StepFailed when too few
    bars are left.
    """
    begin, end = _date_range(bars, strategy)
    bars = bars.until(end)
    horizon = strategy.training.labels.horizon
    features = compute_features(bars, strategy)
    forward = np.full(len(bars), np.nan)
    forward[:-horizon] = bars.close[horizon:] / bars.close[:-horizon] - 1.0
    first = _first_warm(features, begin + strategy.training_data.history_required)
    walk = strategy.training.walk_forward
    start = first + round(walk.initial_fraction * (len(bars) - first))
    if start - horizon - first < MIN_TRAINING_ROWS:
        raise StepFailed(
            "NOT_ENOUGH_DATA",
            f"{len(bars)} bars leave {max(0, start - horizon - first)} rows for the first fold; "
            f"at least {MIN_TRAINING_ROWS} are needed. Use a shorter warm-up or fewer folds.",
        )
    edges = np.linspace(start, len(bars), walk.folds + 1).round().astype(int)
    blocks = [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    folds = [
        _fold(features, forward, f"fold {number}", first, a - horizon, (a, b))
        for number, (a, b) in enumerate(blocks, start=1)
    ]
    folds.append(_fold(features, forward, FINAL, first, end - horizon, (end, end)))
    fits = tuple(
        Fit(fold, member, derive_seed(seed, "fit", fold, member))
        for fold in range(len(folds))
        for member in range(strategy.training.ensemble)
    )
    return Problem(strategy, features, forward, tuple(folds), fits)


def _fold(
    features: FeatureMatrix,
    forward: NDArray[np.float64],
    name: str,
    first: int,
    train_end: int,
    block: tuple[int, int],
) -> Fold:
    low, high = np.quantile(forward[first:train_end], [1 / 3, 2 / 3])
    scaler = fit_scaler(features, first, train_end)
    return Fold(name, first, train_end, *block, scaler, (float(low), float(high)))


def _date_range(bars: Bars, strategy: Strategy) -> tuple[int, int]:
    """The rows [begin, end) of the date range, both days included; all bars when there is none."""
    wanted = strategy.training_data.date_range
    if wanted is None:
        return 0, len(bars)
    first, after = midnight(wanted.start), midnight(wanted.end + timedelta(days=1))
    begin, end = np.searchsorted(bars.time, first), np.searchsorted(bars.time, after)
    if end - begin < MIN_TRAINING_ROWS:
        raise StepFailed(
            "NOT_ENOUGH_DATA",
            f"{end - begin} development bars lie in {wanted.start} to {wanted.end}; widen the date_range.",
        )
    return int(begin), int(end)


def _first_warm(features: FeatureMatrix, earliest: int) -> int:
    warm = np.flatnonzero(np.isfinite(features.values).all(axis=1))
    if not len(warm):
        raise StepFailed(
            "NOT_ENOUGH_DATA", "No bar has all its features; the indicators' periods are too long."
        )
    first = max(int(warm[0]), earliest)
    gaps = np.flatnonzero(~np.isfinite(features.values[first:]).all(axis=1))
    if len(gaps):
        raise StepFailed("NOT_FINITE", f"A feature of bar {first + int(gaps[0])} is not a number.")
    return first
