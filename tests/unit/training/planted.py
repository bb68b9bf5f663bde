"""Bugs that look ahead, each put into the real code at the seam where somebody would have written it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ktrdr.data import features, loading
from ktrdr.data.bars import Bars
from ktrdr.data.features import FeatureMatrix, Scaler, fit_scaler
from ktrdr.data.indicators import outputs
from ktrdr.data.indicators.series import Outputs
from ktrdr.data.resampling import resample
from ktrdr.domain.leaks import LeakKind
from ktrdr.domain.market import TIMEFRAME_SECONDS
from ktrdr.domain.strategies import Indicator, Strategy
from ktrdr.training import labels, problem, signals
from ktrdr.training.labels import Labelling, fit_edges, label
from ktrdr.training.problem import Fold
from ktrdr.training.samples import Samples, samples_of
from ktrdr.training.splits import Split, split_rows

Floats = NDArray[np.float64]
Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Planted:
    """A bug, the strategy it is in (a name of test_planted_leaks.STRATEGIES), and what must be named."""

    plant: Plant
    kind: LeakKind
    names: frozenset[str]
    strategy: str = "plain"


def an_indicator(change: Callable[[Floats, Bars], Floats], kind: str = "sma") -> Plant:
    """Every output of one kind of indicator, changed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def leaky(bars: Bars, indicator: Indicator) -> Outputs:
            made = outputs(bars, indicator)
            if indicator.type != kind:
                return made
            with np.errstate(invalid="ignore"):
                return tuple(change(one, bars) if np.isfinite(one).any() else one for one in made)

        patch.setattr(features, "outputs", leaky)

    return plant


def centred(_: Floats, bars: Bars) -> Floats:
    return np.convolve(bars.close, np.full(11, 1 / 11), mode="same")[: len(bars)]


def normalised(values: Floats, _: Bars) -> Floats:
    normal: Floats = (values - np.nanmean(values)) / np.nanstd(values)
    return normal


def shifted(values: Floats, _: Bars) -> Floats:
    return np.append(values[1:], values[-1])


def of_the_highest(values: Floats, bars: Bars) -> Floats:
    share: Floats = values / bars.high.max()
    return share


def back_filled(values: Floats, _: Bars) -> Floats:
    first = int(np.flatnonzero(np.isfinite(values))[0])
    return np.where(np.arange(len(values)) < first, values[first], values)


def smoothed(values: Floats) -> Floats:
    found = values.copy()
    for t in range(1, len(found)):
        found[t] = 0.8 * found[t - 1] + 0.2 * values[t]
    return found


def from_the_end(_: Floats, bars: Bars) -> Floats:
    return smoothed(bars.close[::-1])[::-1]


def forwards_and_backwards(_: Floats, bars: Bars) -> Floats:
    return smoothed(smoothed(bars.close)[::-1])[::-1]


def between_lowest_and_highest(values: Floats, _: Bars) -> Floats:
    low, high = np.nanmin(values), np.nanmax(values)
    within: Floats = (values - low) / (high - low)
    return within


def ranked(values: Floats, _: Bars) -> Floats:
    ranks: Floats = np.argsort(np.argsort(values)).astype(np.float64)
    return ranks / len(values)


def interpolated(values: Floats, bars: Bars) -> Floats:
    """Bars of little volume count as missing, and are filled from both their sides."""
    at = np.arange(len(values))
    there = (bars.volume > 300.0) | (at == 0)
    return np.asarray(np.interp(at, at[there], np.nan_to_num(values)[there]))


def joined(rows: Callable[[Bars, int, Bars, int], NDArray[np.int64]]) -> Plant:
    return lambda patch: patch.setattr(features, "last_closed", rows)


def one_later(base: Bars, base_seconds: int, other: Bars, other_seconds: int) -> NDArray[np.int64]:
    known = np.searchsorted(other.time + other_seconds, base.time + base_seconds, side="right")
    return np.minimum(known, len(other) - 1)


def from_its_opening(base: Bars, base_seconds: int, other: Bars, _: int) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(other.time, base.time + base_seconds, side="left") - 1)


def by_index(base: Bars, base_seconds: int, other: Bars, other_seconds: int) -> NDArray[np.int64]:
    if base_seconds == other_seconds:
        return np.minimum(np.arange(len(base)), len(other) - 1)
    known = np.searchsorted(other.time + other_seconds, base.time + base_seconds, side="right")
    return np.asarray(known - 1, dtype=np.int64)


def stamped_too_early(patch: pytest.MonkeyPatch) -> None:
    """A resampled bar has the time of the bucket before: right edges read as left ones."""

    def early(bars: Bars, timeframe: str, wanted: str) -> Bars:
        made = resample(bars, timeframe, wanted)
        return replace(made, time=made.time - TIMEFRAME_SECONDS[wanted])

    patch.setattr(loading, "resample", early)


def holdout_not_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loading, "closed_by", lambda bars, *_: len(bars))


def scaler_past(rows: int | None) -> Plant:
    """The rows it is fitted on go on behind the training's end, or are all there are."""

    def leaky(training: Any) -> Scaler:
        def end(matrix: FeatureMatrix, last: int) -> int:
            return len(matrix.values) if rows is None else min(last + rows, len(matrix.values))

        return fit_scaler([(matrix, first, end(matrix, last)) for matrix, first, last in training])

    return lambda patch: patch.setattr(problem, "fit_scaler", leaky)


def edges_of_all_rows(patch: pytest.MonkeyPatch) -> None:
    made = problem._fold

    def leaky(series: Any, labelling: Labelling, strategy: Strategy, split: Split) -> Fold:
        every = np.concatenate([one.score[np.isfinite(one.score)] for one in series])
        return replace(made(series, labelling, strategy, split), edges=fit_edges(every, 3))

    patch.setattr(problem, "_fold", leaky)


def purge_of_one_bar_less(patch: pytest.MonkeyPatch) -> None:
    def leaky(series: Any, training: Any, reach: int) -> list[Split]:
        return split_rows(series, training, reach - 1)[:-1] + split_rows(series, training, reach)[-1:]

    patch.setattr(problem, "split_rows", leaky)


def splits(change: Callable[[Split, int], Split]) -> Plant:
    def leaky(series: Any, training: Any, reach: int) -> list[Split]:
        made = split_rows(series, training, reach)
        return [change(one, reach) for one in made[:-1]] + made[-1:]

    return lambda patch: patch.setattr(problem, "split_rows", leaky)


def block_is_watched(split: Split, reach: int) -> Split:
    ((first, last),) = split.block
    return replace(split, watched=((first, last - reach),))


def watched_up_to_the_block(split: Split, _: int) -> Split:
    ((first, _end),), ((block, _last),) = split.watched, split.block
    return replace(split, watched=((first, block),))


def trained_on_the_block(split: Split, reach: int) -> Split:
    ((first, _),), ((_begin, last),) = split.train, split.block
    return replace(split, train=((first, last - reach),))


def reach_understated(patch: pytest.MonkeyPatch) -> None:
    """Twice as far as it says, and near the end as far as there are bars."""

    def leaky(bars: Bars, settings: Any, num_classes: int) -> Labelling:
        made = label(bars, settings, num_classes)
        later = np.minimum(np.arange(len(bars)) + 2 * made.reach, len(bars) - 1)
        return replace(made, score=bars.close[later] / bars.close - 1.0)

    patch.setattr(problem, "label", leaky)


def barriers_of_all_bars(patch: pytest.MonkeyPatch) -> None:
    """One volatility for every bar, that of the whole history."""
    patch.setattr(
        labels, "volatility", lambda bars, *_: np.full(len(bars), np.diff(np.log(bars.close)).std())
    )


def targets_smoothed_around(patch: pytest.MonkeyPatch) -> None:
    made = signals._by_class

    def leaky(odds: torch.Tensor, directions: list[int], threshold: float) -> signals.Targets:
        around = (odds + odds.roll(-1, 0) + odds.roll(1, 0)) / 3.0
        return made(around, directions, threshold)

    patch.setattr(signals, "_by_class", leaky)


def inputs_scaled_where_predicted(patch: pytest.MonkeyPatch) -> None:
    """By the mean and the deviation of the rows that are predicted, instead of those learnt from."""

    def leaky(strategy: Strategy, _: Scaler, spans: Any) -> Samples:
        (values, first, last), *_others = spans
        rows = values[first:last].astype(np.float64)
        return samples_of(strategy, Scaler(rows.mean(axis=0), rows.std(axis=0) + 1e-9), spans)

    patch.setattr(signals, "samples_of", leaky)


def windows_end_a_bar_later(patch: pytest.MonkeyPatch) -> None:
    def leaky(strategy: Strategy, scaler: Scaler, spans: Any) -> Samples:
        made = samples_of(strategy, scaler, spans)
        assert made.ends is not None
        return replace(made, ends=(made.ends + 1).clamp(max=len(made.matrix) - 1))

    patch.setattr(signals, "samples_of", leaky)


def feature(plant: Plant, *names: str) -> Planted:
    return Planted(plant, LeakKind.FEATURE, frozenset(names))


AVERAGES = ("1h_mean", "1d_mean")
DAYS = ("1d_state_low", "1d_state_high", "1d_mean", "1d_other")
PLANTED: Mapping[str, Planted] = {
    "a centred moving average": feature(an_indicator(centred), *AVERAGES),
    "normalisation over all bars": feature(an_indicator(normalised), *AVERAGES),
    "a negative shift": feature(an_indicator(shifted), *AVERAGES),
    "the highest price of all bars": feature(an_indicator(of_the_highest), *AVERAGES),
    "NaNs filled from behind": feature(an_indicator(back_filled), *AVERAGES),
    "a recursion from the end": feature(an_indicator(from_the_end), *AVERAGES),
    "a filter run forwards and backwards": feature(an_indicator(forwards_and_backwards), *AVERAGES),
    "minimum and maximum over all bars": feature(an_indicator(between_lowest_and_highest), *AVERAGES),
    "ranks over all bars": feature(an_indicator(ranked), *AVERAGES),
    "interpolation over gaps": feature(an_indicator(interpolated), *AVERAGES),
    "a leak below a fuzzy set": feature(
        an_indicator(shifted, "rsi"), "1h_state_low", "1h_state_high", "1d_state_low", "1d_state_high"
    ),
    "the bar after the last that has closed": feature(joined(one_later), *DAYS, "1h_other"),
    "a higher timeframe from its opening on": feature(joined(from_its_opening), *DAYS),
    "another symbol joined by index": feature(joined(by_index), "1h_other"),
    "resampled bars stamped too early": feature(stamped_too_early, *DAYS),
    "a holdout that is not cut": Planted(holdout_not_cut, LeakKind.SCALER, frozenset({"1h_mean"})),
    "a scaler past its segment": Planted(scaler_past(40), LeakKind.SCALER, frozenset({"1h_mean"})),
    "a scaler of all bars": Planted(scaler_past(None), LeakKind.SCALER, frozenset({"1h_mean"})),
    "label edges of all rows": Planted(
        edges_of_all_rows, LeakKind.LABEL_EDGE, frozenset({"between down and flat", "between flat and up"})
    ),
    "a purge of one bar less": Planted(purge_of_one_bar_less, LeakKind.LABEL, frozenset({"forward_return"})),
    "labels that look further than they say": Planted(
        reach_understated, LeakKind.LABEL, frozenset({"forward_return"})
    ),
    "early stopping on the block": Planted(
        splits(block_is_watched), LeakKind.INPUT, frozenset({"1h_mean"}), "watching"
    ),
    "watched rows up to the block": Planted(
        splits(watched_up_to_the_block), LeakKind.LABEL, frozenset({"forward_return"}), "watching"
    ),
    "training on the block": Planted(splits(trained_on_the_block), LeakKind.INPUT, frozenset({"1h_mean"})),
    "barriers by the volatility of all bars": Planted(
        barriers_of_all_bars, LeakKind.LABEL, frozenset({"triple_barrier"}), "barriers"
    ),
    "targets smoothed around their bar": Planted(
        targets_smoothed_around, LeakKind.TARGET, frozenset({"the final networks", "each fold's networks"})
    ),
    "inputs scaled where they are predicted": Planted(
        inputs_scaled_where_predicted, LeakKind.TARGET, frozenset({"the final networks"})
    ),
    "windows that end a bar later": Planted(
        windows_end_a_bar_later, LeakKind.TARGET, frozenset({"the final networks"}), "recurrent"
    ),
}
