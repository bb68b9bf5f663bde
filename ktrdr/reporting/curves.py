"""What the account was worth, beside holding the same bars, and how far it lay below its peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ktrdr.reporting.drawing import WIDTH, Chart, line, path, scale_of
from ktrdr.reporting.scales import Scale, dates, scale, spans_decades
from ktrdr.reporting.wording import date, money, percent

TALL, LOW = 340, 200


def equity(report: Mapping[str, Any]) -> Chart | None:
    """The account and buy-and-hold on one scale; logarithmic when they span more than a factor of three."""
    series = report["series"]
    times, worth = series["time"], series["equity"]
    if not times:
        return None
    held = series.get("benchmark") or []
    both = [one for one in (*worth, *held) if one is not None]
    log = spans_decades(both)
    axis = scale_of(both, TALL, lambda *given: scale(*given, log=log))
    names = '<span class="key lined strategy">strategy</span>'
    names += '<span class="key lined benchmark">buy and hold of the same bars</span>' if held else ""
    how = " Logarithmic scale: equal steps are equal per cent." if log else ""
    return Chart(
        name="equity",
        title="Equity and buy-and-hold",
        alt=(
            f"The account from {date(times[0])} to {date(times[-1])}: it began at {money(worth[0])} "
            f"and ended at {money(worth[-1])}"
            + (f"; holding the same bars ended at {money(held[-1])}." if held else ".")
        ),
        height=TALL,
        axis="worth",
        scale=axis,
        ticks=dates(times[0], times[-1]),
        stretched=_line(times, held, axis, "benchmark") + _line(times, worth, axis, "strategy"),
        note=f"{names}{how}",
        read_out="equity",
    )


def drawdown(report: Mapping[str, Any]) -> Chart | None:
    """How far the account lay below the highest it had been: zero at the top, losses hang down."""
    series = report["series"]
    times = series["time"]
    if not times:
        return None
    # Whether the report writes a loss from the peak as 0.2 or as -0.2, it hangs down.
    below = [-abs(one or 0.0) for one in series["drawdown"]]
    lowest = min(below)
    axis = scale_of(
        [0.0, lowest or -0.01], LOW, lambda _, top, bottom: Scale((lowest or -0.01) * 1.04, 0.0, top, bottom)
    )
    points = _points(times, below, axis)
    area = path([(points[0][0], axis.top), *points, (points[-1][0], axis.top)])
    deepest = f"{percent(-lowest)} on {date(times[below.index(lowest)])}" if lowest else "none"
    return Chart(
        name="drawdown",
        title="Drawdown",
        alt=f"Loss from the highest worth so far, deepest: {deepest}.",
        height=LOW,
        axis="from peak",
        scale=axis,
        unit="%",
        ticks=dates(times[0], times[-1]),
        stretched=f'<path class="under" d="{area}Z"/>' + line(points, "loss"),
        note=f"How far the account lay below its highest worth so far. Deepest: {deepest}.",
        read_out="drawdown",
    )


def _line(times: Sequence[float], values: Sequence[float | None], axis: Scale, kind: str) -> str:
    return line(_points(times, values, axis), kind) if values else ""


def _points(times: Sequence[float], values: Sequence[float | None], axis: Scale) -> list[tuple[float, float]]:
    first, span = times[0], max(1, times[-1] - times[0])
    return [
        ((at - first) / span * WIDTH, axis.at(value))
        for at, value in zip(times, values, strict=True)
        if value is not None
    ]
