"""Which rows are learnt from, watched while learning, and predicted: by time, purged, never shuffled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ktrdr.domain.strategies import DataSplit, Training, WalkForward

FINAL = "final"
WATCHED = 0.15  # of the training rows, where something is watched and the strategy does not say

Ranges = tuple[tuple[int, int], ...]  # rows [first, last) of each series


class Rows(Protocol):
    """One symbol's usable rows [first, end), and when its bars open, (n,) seconds, rising."""

    @property
    def first(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def time(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Split:
    """Learns from `train`, watches `watched` (perhaps none), predicts `block`.

    Between `train` and what follows lie as many rows as a label looks ahead: the purge (López de Prado
    2018, chapter 7). So lies one between `watched` and `block`.
    """

    name: str
    train: Ranges
    watched: Ranges
    block: Ranges


def split_rows(series: Sequence[Rows], training: Training, reach: int) -> list[Split]:
    """The fits of a strategy, the last one for bars after all of these; a label looks `reach` ahead."""
    shares = training.data_split
    if shares is None and training.walk_forward is None:
        held_back = training.validation_split or WATCHED
        shares = DataSplit(train=1.0 - held_back, validation=held_back, test=0.0)
    if shares is not None:
        return [_by_shares(series, shares, reach)]
    held_back = training.validation_split or (WATCHED if _watches(training) else 0.0)
    assert training.walk_forward is not None
    folds = _walk_forward(series, training.walk_forward, reach)
    return [_with_watched(series, one, held_back, reach) if held_back else one for one in folds]


def row_count(ranges: Ranges) -> int:
    return sum(last - first for first, last in ranges)


def _watches(training: Training) -> bool:
    stopping, schedule = training.early_stopping, training.lr_scheduler
    return (stopping is not None and stopping.enabled) or (
        schedule is not None and schedule.type == "plateau"
    )


def _walk_forward(series: Sequence[Rows], spec: WalkForward, reach: int) -> list[Split]:
    lead = series[0]
    start = lead.first + round(spec.initial_fraction * (lead.end - lead.first))
    edges = [int(one) for one in np.linspace(start, lead.end, spec.folds + 1).round().astype(int)]
    found = []
    for number, (first, last) in enumerate(itertools.pairwise(edges), start=1):
        begins, ends = _at(series, first), _at(series, last)
        train = tuple(_range(one.first, begin - reach) for one, begin in zip(series, begins, strict=True))
        block = tuple(map(_range, begins, ends))
        found.append(Split(f"fold {number}", train, (), block))
    everything = tuple(_range(one.first, one.end - reach) for one in series)
    return [*found, Split(FINAL, everything, (), tuple((one.end, one.end) for one in series))]


def _by_shares(series: Sequence[Rows], shares: DataSplit, reach: int) -> Split:
    lead = series[0]
    count = lead.end - lead.first
    after_train = lead.first + round(shares.train * count)
    after_watched = lead.first + round((shares.train + shares.validation) * count)
    begins, ends = _at(series, after_train), _at(series, after_watched)
    train = tuple(_range(one.first, begin - reach) for one, begin in zip(series, begins, strict=True))
    if shares.test == 0.0:  # what is watched is all there is to predict
        watched = tuple(_range(begin, one.end - reach) for one, begin in zip(series, begins, strict=True))
        return Split("split", train, watched, tuple(map(_range, begins, (one.end for one in series))))
    watched = tuple(_range(begin, end - reach) for begin, end in zip(begins, ends, strict=True))
    block = tuple(_range(end, one.end) for end, one in zip(ends, series, strict=True))
    return Split("split", train, watched if shares.validation else (), block)


def _with_watched(series: Sequence[Rows], split: Split, share: float, reach: int) -> Split:
    """The last `share` of the first symbol's training rows is watched instead, and of others that time."""
    lead_first, lead_last = split.train[0]
    at = _at(series, lead_last - round(share * (lead_last - lead_first)))
    cuts = [min(max(cut, first), last) for cut, (first, last) in zip(at, split.train, strict=True)]
    train = tuple(_range(first, cut - reach) for (first, _), cut in zip(split.train, cuts, strict=True))
    watched = tuple(_range(cut, last) for (_, last), cut in zip(split.train, cuts, strict=True))
    return Split(split.name, train, watched, split.block)


def _at(series: Sequence[Rows], row: int) -> list[int]:
    """A row of the first series, and of each other one the first row that opens no earlier."""
    lead, *others = series
    if row >= lead.end:
        return [one.end for one in series]
    found = [int(np.searchsorted(one.time, lead.time[row])) for one in others]
    return [row, *(min(max(at, one.first), one.end) for one, at in zip(others, found, strict=True))]


def _range(first: int, last: int) -> tuple[int, int]:
    return first, max(first, last)
