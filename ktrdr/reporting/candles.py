"""Trades on candles: where each was entered and left, and whether it paid."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ktrdr.reporting.drawing import BOTTOM, WIDTH, Chart, scale_of
from ktrdr.reporting.scales import Scale, Tick, dates, scale, spans_decades
from ktrdr.reporting.wording import date, duration, instant, percent, price, text

TALL = 400
STRIP = 6  # pixels, of the positions at the foot of the chart
SHOWN = 260  # candles that can be told apart on a page
MARKED = 150  # trades whose marks can
EACH = 6  # pixels a candle, where they are scrolled
MOST_MARKED = 2000

Trade = Mapping[str, Any]


@dataclass(frozen=True)
class Candles:
    """Equally many bars to a candle; `time` is when the first of them opens."""

    time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]

    def __len__(self) -> int:
        return len(self.time)

    def place(self, moment: float) -> float:
        """From 0 to 1: the middle of the candle that a moment falls into."""
        return (max(0, bisect_right(self.time, moment) - 1) + 0.5) / len(self)


def candles(bars: Mapping[str, Sequence[Any]], most: int) -> Candles:
    """The bars, joined until there are at most `most`."""
    each = -(-len(bars["time"]) // most) or 1
    cuts = [slice(at, at + each) for at in range(0, len(bars["time"]), each)]
    return Candles(
        time=[bars["time"][one][0] for one in cuts],
        open=[bars["open"][one][0] for one in cuts],
        high=[max(bars["high"][one]) for one in cuts],
        low=[min(bars["low"][one]) for one in cuts],
        close=[bars["close"][one][-1] for one in cuts],
    )


def trades_on_candles(report: Mapping[str, Any]) -> str:
    """The candles of the first symbol with its trades; what is too dense for a page is scrolled below it."""
    bars = report["bars"]
    if not bars["time"]:
        return ""
    symbol = bars.get("symbol") or report["meta"]["symbols"][0]
    own = [one for one in report["trades"] if one["pair"] == symbol]
    drawn = candles(bars, SHOWN)
    dense = len(own) > MARKED
    others = len(report["trades"]) - len(own)
    whole = _chart(symbol, drawn, own, [] if dense else own, "candles")
    said = " The strip at the foot shows the positions." + (
        f" {others:,} trades of the other symbols are in the table alone." if others else ""
    )
    note = f'<p class="note">{_KEYS}{text(symbol)}. {_spans(drawn)}{said}</p>'
    return (
        f'<section id="candles"><h2>Trades on candles</h2>{note}{whole.frame()}'
        f"{_scrolled(symbol, bars, own) if dense or len(bars['time']) > SHOWN else ''}</section>"
    )


_KEYS = (
    '<span class="key long">▲ long entry</span><span class="key short">▼ short entry</span>'
    '<span class="key">○ exit</span><span class="key lined">gained</span>'
    '<span class="key lined lost">lost</span>'
)


def _scrolled(symbol: str, bars: Mapping[str, Sequence[Any]], own: Sequence[Trade]) -> str:
    every = candles(bars, len(bars["time"]))
    marked = own[:MOST_MARKED]
    cut = (
        f", with the marks of the first {MOST_MARKED:,} of {len(own):,} trades"
        if len(own) > MOST_MARKED
        else ""
    )
    chart = _chart(symbol, every, own, marked, "every", wide=max(900, len(every) * EACH))
    said = f"Every trade, {len(every):,} candles to scroll{cut}"
    return f"<details><summary>{said}</summary>{chart.frame()}</details>"


def _chart(
    symbol: str, drawn: Candles, own: Sequence[Trade], marked: Sequence[Trade], name: str, wide: int = 0
) -> Chart:
    rates = [rate for one in marked for rate in (one["open_rate"], one["close_rate"])]
    values = [*drawn.high, *drawn.low, *rates]
    axis = scale_of(values, TALL, lambda *given: scale(*given, log=spans_decades(values)))
    lines, marks = _trades(marked, drawn, axis)
    return Chart(
        name=name,
        title="Trades on candles",
        alt=(
            f"Candles of {symbol} from {date(drawn.time[0])} to {date(drawn.time[-1])} "
            f"with the entries and exits of {len(own)} trades."
        ),
        height=TALL,
        axis="price, log" if axis.log else "price",
        scale=axis,
        ticks=_ticks(drawn, 12 if wide > 2400 else 1),
        stretched=_candles(drawn, axis) + lines,
        fixed=marks + _strip(own, drawn),
        read_out=name,
        wide=wide,
    )


def _spans(drawn: Candles) -> str:
    spans = sorted(after - before for before, after in pairwise(drawn.time))
    each = f"A candle spans about {duration(spans[len(spans) // 2])}; it" if spans else "A candle"
    return f"{each} is filled where the price fell."


def _ticks(drawn: Candles, parts: int) -> list[Tick]:
    """Candles stand at equal distances, so a date lies where its candle does; a long chart has more."""
    cuts = [drawn.time[len(drawn) * part // parts] for part in range(parts)] + [drawn.time[-1]]
    found: list[Tick] = []
    for first, last in pairwise(cuts):
        for one in dates(first, last):
            place = drawn.place(first + one.place * (last - first))
            if not found or place > found[-1].place + 0.06 / parts:
                found.append(Tick(place, one.label))
    return found


def _candles(drawn: Candles, axis: Scale) -> str:
    wide = WIDTH / len(drawn)
    wicks: list[str] = []
    bodies: dict[bool, list[str]] = {True: [], False: []}
    for number, (begin, high, low, end) in enumerate(
        zip(drawn.open, drawn.high, drawn.low, drawn.close, strict=True)
    ):
        middle = (number + 0.5) * wide
        upper, lower = axis.at(max(begin, end)), axis.at(min(begin, end))
        wicks.append(
            f"M{middle:.2f} {axis.at(high):.1f}V{upper:.1f}M{middle:.2f} {lower:.1f}V{axis.at(low):.1f}"
        )
        # A bar that closed where it opened still has a body to see.
        tall = max(1.0, lower - upper)
        left, across = middle - wide * 0.33, wide * 0.66
        bodies[end >= begin].append(f"M{left:.2f} {upper:.1f}h{across:.2f}v{tall:.1f}h{-across:.2f}z")
    return (
        f'<path class="wick" d="{"".join(wicks)}"/><path class="rose" d="{"".join(bodies[True])}"/>'
        f'<path class="fell" d="{"".join(bodies[False])}"/>'
    )


def _strip(own: Sequence[Trade], drawn: Candles) -> str:
    """Blue while long, orange while short, at the foot of the chart."""
    floor = TALL - BOTTOM
    return "".join(
        f'<rect class="{_side(one)}" x="{begin * 100.0:.3f}%" '
        f'width="{max(0.05, (end - begin) * 100.0):.3f}%" '
        f'y="{floor - STRIP * (1 if one["is_short"] else 2):.0f}" height="{STRIP}"/>'
        for one in own
        for begin, end in [_span(one, drawn)]
    )


def _trades(trades: Sequence[Trade], drawn: Candles, axis: Scale) -> tuple[str, str]:
    """Lines from entry to exit, and the marks at both ends."""
    paid: dict[bool, list[str]] = {True: [], False: []}
    marks = []
    for one in trades:
        begin, end = _span(one, drawn)
        entry, leave = axis.at(one["open_rate"]), axis.at(one["close_rate"])
        paid[(one["profit_ratio"] or 0.0) > 0.0].append(
            f"M{begin * WIDTH:.2f} {entry:.1f}L{end * WIDTH:.2f} {leave:.1f}"
        )
        said = f"<title>{text(_said(one))}</title>"
        triangle = "M0 2l5 -9h-10z" if one["is_short"] else "M0 -2l5 9h-10z"
        marks.append(
            f'<svg x="{end * 100.0:.3f}%" y="{leave:.1f}" class="mark"><circle r="3.2"/>{said}</svg>'
            f'<svg x="{begin * 100.0:.3f}%" y="{entry:.1f}" class="mark {_side(one)}">'
            f'<path d="{triangle}"/>{said}</svg>'
        )
    return (
        f'<path class="join gained" d="{"".join(paid[True])}"/>'
        f'<path class="join lost" d="{"".join(paid[False])}"/>',
        "".join(marks),
    )


def _span(trade: Trade, drawn: Candles) -> tuple[float, float]:
    return drawn.place(instant(trade["open_date"])), drawn.place(instant(trade["close_date"]))


def _side(trade: Trade) -> str:
    return "short" if trade["is_short"] else "long"


def _said(trade: Trade) -> str:
    return (
        f"{_side(trade)}: {date(instant(trade['open_date']))} at {price(trade['open_rate'])}, "
        f"{date(instant(trade['close_date']))} at {price(trade['close_rate'])}, "
        f"{percent(trade['profit_ratio'], signed=True)}, {trade['exit_reason']}"
    )
