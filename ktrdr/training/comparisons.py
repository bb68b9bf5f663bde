"""Two computations of the same thing, bit by bit: what differs, and where first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.inputs import resolve
from ktrdr.domain.leaks import Leak, LeakKind
from ktrdr.training.problem import Problem
from ktrdr.training.samples import window_length
from ktrdr.training.splits import Ranges

Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Columns:
    """`values` (n, k) of one symbol's bars, which open at `time` (n,)."""

    kind: LeakKind
    symbol: str
    time: NDArray[np.int64]
    names: tuple[str, ...]
    values: Numbers


def moved(before: Columns, after: Columns, known: int, perturbation: str) -> Iterator[Leak]:
    """Each column of which one of the first `known` rows differs, at the first row that does.

    A row that is missing from one of the two has moved, too.
    """
    size = min(known, len(before.values), len(after.values))
    differs = _differs(before.values[:size], after.values[:size])
    for number in np.flatnonzero(differs.any(axis=0)):
        bar = int(differs[:, number].argmax())
        yield Leak(
            before.kind,
            before.names[number],
            before.symbol,
            known,
            perturbation,
            bar=bar,
            time=int(before.time[bar]),
            before=_number(before.values[bar, number]),
            after=_number(after.values[bar, number]),
        )
    if size < min(known, len(before.values)):
        yield Leak(before.kind, "number of bars", before.symbol, known, perturbation, bar=size)


def trainings_differ(
    one: Problem, other: Problem, number: int, ranges: Ranges, perturbation: str, moment: int
) -> Iterator[Leak]:
    """What differs of fold `number` and of its rows `ranges`: they are `one`'s, which are empty where
    nothing is watched. `moment` is when the bars that were changed begin (seconds since 1970)."""
    fold, same = one.folds[number], other.folds[number]
    lead = one.series[0]
    told: dict[str, Any] = {
        "symbol": lead.symbol,
        "known": int(np.searchsorted(lead.time, moment)),
        "perturbation": perturbation,
        "fold": fold.name,
    }
    if (fold.train, fold.watched, fold.block) != (same.train, same.watched, same.block):
        yield Leak(LeakKind.ROWS, "rows of the fold", **told)
        return
    names = one.features
    for part in ("mean", "deviation"):
        before, after = getattr(fold.scaler, part), getattr(same.scaler, part)
        for at in np.flatnonzero(_differs(before, after)):
            yield Leak(
                LeakKind.SCALER, names[at], before=_number(before[at]), after=_number(after[at]), **told
            )
    edges = np.array(fold.edges), np.array(same.edges)
    if edges[0].shape != edges[1].shape:
        yield Leak(LeakKind.LABEL_EDGE, "number of edges", **told)
        return
    for at in np.flatnonzero(_differs(*edges)):
        name, values = _edge(one, int(at)), (edges[0][at], edges[1][at])
        yield Leak(LeakKind.LABEL_EDGE, name, before=_number(values[0]), after=_number(values[1]), **told)
    if any(last > first for first, last in ranges):
        yield from _rows_differ(one, other, number, ranges, told)


def _rows_differ(
    one: Problem, other: Problem, number: int, ranges: Ranges, told: dict[str, Any]
) -> Iterator[Leak]:
    """Inputs and labels as the training is given them."""
    fold, same = one.folds[number], other.folds[number]
    samples, others = one.samples(fold, ranges), other.samples(same, ranges)
    before, after = samples.matrix.numpy(), others.matrix.numpy()
    reach = window_length(one.strategy) - 1
    if before.shape != after.shape:
        yield Leak(LeakKind.ROWS, "number of rows", **told)
        return
    differs = _differs(before, after)
    for at in np.flatnonzero(differs.any(axis=0)):
        row = int(differs[:, at].argmax())
        values = {"before": _number(before[row, at]), "after": _number(after[row, at])}
        place = _place(one, ranges, row, reach)
        yield Leak(LeakKind.INPUT, _input_names(one)[at], **{**told, **values, **place})
    targets, same_targets = one.targets(fold, ranges).numpy(), other.targets(same, ranges).numpy()
    wrong = np.flatnonzero(_differs(targets, same_targets))
    if len(wrong):
        row = int(wrong[0])
        values = {"before": _number(targets[row]), "after": _number(same_targets[row])}
        place = _place(one, ranges, row, 0)
        yield Leak(LeakKind.LABEL, one.strategy.training.labels.source, **{**told, **values, **place})


def _place(problem: Problem, ranges: Ranges, row: int, reach: int) -> dict[str, Any]:
    """The symbol and the bar of a row of the table in which the symbols stand one below the other."""
    for series, (first, last) in zip(problem.series, ranges, strict=True):
        size = last - first + reach if last > first else 0
        if row < size:
            bar = first - reach + row
            return {"symbol": series.symbol, "bar": bar, "time": int(series.time[bar])}
        row -= size
    raise ValueError(f"the rows {ranges} have no row {row}")


def _input_names(problem: Problem) -> tuple[str, ...]:
    if problem.strategy.model.learn_memberships:
        return tuple(one.name for one in resolve(problem.strategy).readings)
    return problem.features


def _edge(problem: Problem, number: int) -> str:
    """Of classes the edge between two of them; of a regression the mean and the deviation."""
    if not problem.classifies:
        return ("mean of the target", "deviation of the target")[number]
    classes = problem.labelling.classes
    return f"between {classes[number]} and {classes[number + 1]}"


def _differs(before: Numbers, after: Numbers) -> NDArray[np.bool_]:
    """Where two numbers are not the same bits; one NaN is as good as another."""
    both = np.isnan(before) & np.isnan(after) if before.dtype.kind == "f" else False
    return np.asarray((before != after) & ~np.asarray(both))


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
