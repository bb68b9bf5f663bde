"""Columns: the return of each year, and how the returns of the trades are distributed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from ktrdr.reporting.drawing import Chart, scale_of
from ktrdr.reporting.scales import Scale, Tick, scale, step, steps
from ktrdr.reporting.wording import alike, count, percent, text

HEIGHT = 230
BINS = 40


@dataclass(frozen=True)
class Column:
    """From `left` to `right`, both 0 to 1, as high as `value`; `said` is its read-out."""

    left: float
    right: float
    value: float
    kind: str
    said: str


def years(report: Mapping[str, Any]) -> Chart | None:
    """One column a year, gains up, losses down."""
    found = [(int(year), value) for year, value in report["yearly"] if value is not None]
    if not found:
        return None
    wide = 1.0 / len(found)
    half = min(0.32 * wide, 0.035)
    columns = [
        Column(
            left=(number + 0.5) * wide - half,
            right=(number + 0.5) * wide + half,
            value=value,
            kind="gain" if value >= 0.0 else "loss",
            said=f"{year}: {percent(value, signed=True)}",
        )
        for number, (year, value) in enumerate(found)
    ]
    axis = scale_of([0.0, *(value for _, value in found)], HEIGHT, scale)
    every = math.ceil(len(found) / 14)
    best, worst = max(found, key=lambda one: one[1]), min(found, key=lambda one: one[1])
    return Chart(
        name="years",
        title="Years",
        alt=(
            f"Return of each year; the best is {best[0]} with {percent(best[1], signed=True)}, "
            f"the worst {worst[0]} with {percent(worst[1], signed=True)}."
        ),
        height=HEIGHT,
        axis="return",
        scale=axis,
        unit="%",
        ticks=[Tick((number + 0.5) * wide, str(year)) for number, (year, _) in enumerate(found)][::every],
        fixed=_columns(columns, axis),
        below="year",
        note="Return of each calendar year. The first and the last may not be whole.",
    )


def distribution(report: Mapping[str, Any]) -> Chart | None:
    """How many trades returned how much. No column holds gains and losses."""
    found = [one["profit_ratio"] for one in report["trades"] if one["profit_ratio"] is not None]
    if not found:
        return None
    edges = _edges(found)
    counts = [0] * (len(edges) - 1)
    wide = edges[1] - edges[0]
    for value in found:
        place = math.floor((value - edges[0]) / wide + 1e-9)
        counts[min(max(place, 0), len(counts) - 1)] += 1
    columns = [
        Column(
            left=(number + 0.06) / len(counts),
            right=(number + 0.94) / len(counts),
            value=many,
            kind="gain" if edges[number] > -wide / 2 else "loss",
            said=f"{percent(edges[number])} to {percent(edges[number + 1])}: {many} trades",
        )
        for number, many in enumerate(counts)
    ]
    axis = scale_of(counts, HEIGHT, _counting)
    middle = f"mean {percent(fmean(found), signed=True)}, median {percent(median(found), signed=True)}"
    return Chart(
        name="distribution",
        title="Returns of the trades",
        alt=f"How many of {len(found)} trades returned how much: {middle}.",
        height=HEIGHT,
        axis="trades",
        scale=axis,
        ticks=_edge_ticks(edges),
        fixed=_columns(columns, axis),
        below="return",
        note=(
            f"{count(len(found))} trades, {middle}, after costs. "
            "The outermost columns hold what lies beyond them too."
        ),
    )


def _counting(counts: Sequence[float], top: float, bottom: float) -> Scale:
    # Below five a grid would have lines between two counts.
    return Scale(0.0, max(5.0, max(counts) * 1.06), top, bottom)


def _edges(found: Sequence[float]) -> list[float]:
    """Round edges around the middle 98 in a hundred, zero among them."""
    ordered = sorted(found)
    cut = len(ordered) // 100
    low, high = min(ordered[cut], 0.0), max(ordered[-1 - cut], 0.0)
    wide = step(max(high - low, 1e-4), BINS)
    first, last = math.floor(low / wide + 1e-9), math.ceil(high / wide - 1e-9)
    return [one * wide for one in range(first, max(last, first + 1) + 1)]


def _edge_ticks(edges: Sequence[float]) -> list[Tick]:
    span, values = edges[-1] - edges[0], steps(edges[0], edges[-1], 10)
    written = alike(values, unit="%")
    return [Tick((one - edges[0]) / span, written(one)) for one in values]


def _columns(columns: Sequence[Column], axis: Scale) -> str:
    floor = axis.at(0.0)
    drawn = []
    for one in columns:
        if not one.value:
            continue
        top, bottom = sorted((axis.at(one.value), floor))
        wide = (one.right - one.left) * 100.0
        drawn.append(
            f'<rect class="{one.kind}" x="{one.left * 100.0:.2f}%" width="{wide:.2f}%" '
            f'y="{top:.1f}" height="{max(0.5, bottom - top):.1f}"><title>{text(one.said)}</title></rect>'
        )
    return "".join(drawn) + f'<line class="zero" x1="0" x2="100%" y1="{floor:.1f}" y2="{floor:.1f}"/>'
