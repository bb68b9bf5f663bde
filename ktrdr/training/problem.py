"""What is trained on what: every symbol's features and labels, and the fits over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.features import (
    FeatureMatrix,
    Scaler,
    Singles,
    compute_features,
    first_warm,
    fit_scaler,
    readings,
)
from ktrdr.data.market import Market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.market import midnight
from ktrdr.domain.strategies import Strategy
from ktrdr.training.labels import Labelling, classify, fit_edges, label
from ktrdr.training.samples import Samples, samples_of, window_length
from ktrdr.training.splits import Ranges, Split, row_count, split_rows

Floats = NDArray[np.float64]
MIN_TRAINING_ROWS = 100


@dataclass(frozen=True, eq=False)
class Series:
    """One symbol: of its n bars the rows [first, end) can be learnt from or predicted."""

    symbol: str
    time: NDArray[np.int64]
    features: FeatureMatrix
    inputs: Singles  # (n, …) what the network is given: the features, or readings whose sets it learns
    score: Floats  # (n,) what is classed, or predicted; NaN where it is not known
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class Fold(Split):
    """A split, and what was fitted on its training rows and nothing else."""

    scaler: Scaler
    edges: tuple[float, ...]  # of classes; of a regression the mean and the deviation of the target


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
    series: tuple[Series, ...]
    labelling: Labelling  # of the first symbol; its classes and reach are those of all
    folds: tuple[Fold, ...]  # the last one is for bars after all of these
    fits: tuple[Fit, ...]

    @property
    def epochs(self) -> int:
        return self.strategy.training.epochs

    @property
    def total_epochs(self) -> int:
        """At most: early stopping may end a fit sooner."""
        return len(self.fits) * self.epochs

    @property
    def features(self) -> tuple[str, ...]:
        return self.series[0].features.names

    @property
    def classifies(self) -> bool:
        return self.strategy.decisions.output_format == "classification"

    def samples(self, fold: Fold, ranges: Ranges) -> Samples:
        """Of rows what the network is given; for a recurrent network the windows that end at them."""
        spans = [(one.inputs, first, last) for one, (first, last) in self._of(ranges) if last > first]
        return samples_of(self.strategy, fold.scaler, spans)

    def targets(self, fold: Fold, ranges: Ranges) -> torch.Tensor:
        """Classes (m,) int64 by the fold's own edges, or its own standardised returns (m,) float32."""
        score = self._scores(ranges)
        if self.classifies:
            return torch.from_numpy(classify(score, fold.edges))
        mean, deviation = fold.edges
        return torch.from_numpy(((score - mean) / deviation).astype(np.float32))

    def known(self, ranges: Ranges) -> Ranges:
        """Those of the rows whose labels do not look past the last row there is."""
        reach = self.labelling.reach
        cut = [(first, min(last, one.end - reach)) for one, (first, last) in self._of(ranges)]
        return tuple((first, max(first, last)) for first, last in cut)

    def _scores(self, ranges: Ranges) -> Floats:
        parts = [one.score[first:last] for one, (first, last) in self._of(ranges)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _of(self, ranges: Ranges) -> list[tuple[Series, tuple[int, int]]]:
        return list(zip(self.series, ranges, strict=True)) if ranges else []


def build_problem(market: Market, strategy: Strategy, seed: int) -> Problem:
    """Fits by time over the bars of the strategy's date range that are warm.

    What lies after the range is cut off before a label is made. Raises StepFailed when too few bars
    are left.
    """
    symbols = strategy.training_data.symbols.all
    made = [_series(market, one, strategy) for one in symbols]
    labelling = made[0][1]
    series = tuple(one for one, _ in made)
    splits = split_rows(series, strategy.training, labelling.reach)
    folds = tuple(_fold(series, labelling, strategy, one) for one in splits)
    fits = tuple(
        Fit(fold, member, derive_seed(seed, "fit", fold, member))
        for fold in range(len(folds))
        for member in range(strategy.training.ensemble)
    )
    return Problem(strategy, series, labelling, folds, fits)


def _series(market: Market, symbol: str, strategy: Strategy) -> tuple[Series, Labelling]:
    bars = market.bars(symbol, market.base)
    begin, end = _date_range(bars, strategy)
    features = compute_features(market, symbol, strategy)
    labelling = label(bars.until(end), strategy.training.labels, strategy.decisions.num_classes or 3)
    values = features.values[:end]
    kept = FeatureMatrix(values, features.names, features.scaled)
    reach = window_length(strategy) - 1  # a window's oldest row is warm too
    earliest = begin + strategy.training_data.history_required
    first = max(first_warm(kept, max(0, earliest - reach)) + reach, _first_known(labelling, symbol))
    inputs = readings(market, symbol, strategy).values[:end] if strategy.model.learn_memberships else values
    return Series(symbol, bars.time[:end], kept, inputs, labelling.score, first, end), labelling


def _fold(series: Sequence[Series], labelling: Labelling, strategy: Strategy, split: Split) -> Fold:
    rows = row_count(split.train)
    if rows < MIN_TRAINING_ROWS:
        raise StepFailed(
            "NOT_ENOUGH_DATA",
            f"{sum(len(one.time) for one in series)} bars leave {rows} rows to learn from in '{split.name}'; "
            f"at least {MIN_TRAINING_ROWS} are needed. Use a shorter warm-up, more bars, or fewer folds.",
        )
    scaler = fit_scaler([(one.features, a, b) for one, (a, b) in zip(series, split.train, strict=True)])
    scores = np.concatenate([one.score[a:b] for one, (a, b) in zip(series, split.train, strict=True)])
    if strategy.decisions.output_format == "regression":
        deviation = float(scores.std())
        edges: tuple[float, ...] = (float(scores.mean()), deviation if deviation > 0.0 else 1.0)
    else:
        edges = labelling.edges or fit_edges(scores, strategy.decisions.num_classes or 3)
    return Fold(split.name, split.train, split.watched, split.block, scaler, edges)


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


def _first_known(labelling: Labelling, symbol: str) -> int:
    known = np.flatnonzero(np.isfinite(labelling.score))
    if not len(known):
        raise StepFailed(
            "NOT_ENOUGH_DATA", f"No bar of {symbol} has a label; the labels look too far ahead or back."
        )
    return int(known[0])
