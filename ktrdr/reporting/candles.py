"""Trades on candles: where each was entered and left, and whether it paid."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ktrdr.reporting.drawing import WIDTH, Chart, scale_of
from ktrdr.reporting.scales import Scale, Tick, dates, scale, spans_decades
from ktrdr.reporting.wording import date, duration, instant, percent, price, text

TALL = 400
SHOWN = 260  # candles that can be told apart on a page
MARKED = 400  # trades whose marks can


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


def candles(bars: Mapping[str, Sequence[Any]], most: int = SHOWN) -> Candles:
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


def trades_on_candles(report: Mapping[str, Any], drawn: Candles) -> Chart | None:
    """The candles of the first symbol and its trades."""
    if not len(drawn):
        return None
    symbol = report["bars"].get("symbol") or report["meta"]["symbols"][0]
    own = [one for one in report["trades"] if one["pair"] == symbol]
    shown = own[:MARKED]
    rates = [rate for one in shown for rate in (one["open_rate"], one["close_rate"])]
    values = [*drawn.high, *drawn.low, *rates]
    log = spans_decades(values)
    axis = scale_of(values, TALL, lambda *given: scale(*given, log=log))
    lines, marks = _trades(shown, drawn, axis)
    return Chart(
        name="candles",
        title="Trades on candles",
        alt=(
            f"Candles of {symbol} from {date(drawn.time[0])} to {date(drawn.time[-1])} "
            f"with the entries and exits of {len(shown)} trades."
        ),
        height=TALL,
        axis="price",
        scale=axis,
        written=price,
        ticks=_ticks(drawn),
        stretched=_candles(drawn, axis) + lines,
        fixed=marks,
        note=_note(symbol, drawn, len(shown), len(own)) + (" Logarithmic scale." if log else ""),
        read_out="candles",
        least=760,
    )


def _note(symbol: str, drawn: Candles, shown: int, own: int) -> str:
    keys = (
        '<span class="key long">▲ long entry</span><span class="key short">▼ short entry</span>'
        '<span class="key exit">○ exit</span><span class="key gained">gained</span>'
        '<span class="key lost">lost</span>'
    )
    spans = sorted(after - before for before, after in zip(drawn.time, drawn.time[1:], strict=False))
    each = f" A candle is {duration(spans[len(spans) // 2])}; it is filled where the price fell." if spans else ""
    cut = f" The first {shown:,} of {own:,} trades are marked." if shown < own else ""
    return f"{keys}{text(symbol)}.{each}{cut}"


def _ticks(drawn: Candles) -> list[Tick]:
    """Candles stand at equal distances, so a date lies where its candle does."""
    first, last = drawn.time[0], drawn.time[-1]
    return [Tick(drawn.place(first + one.place * (last - first)), one.label) for one in dates(first, last)]


def _candles(drawn: Candles, axis: Scale) -> str:
    wide = WIDTH / len(drawn)
    wicks, rose, fell = [], [], []
    for number, (begin, high, low, end) in enumerate(
        zip(drawn.open, drawn.high, drawn.low, drawn.close, strict=True)
    ):
        middle = (number + 0.5) * wide
        upper, lower = axis.at(max(begin, end)), axis.at(min(begin, end))
        wicks.append(f"M{middle:.2f} {axis.at(high):.1f}V{upper:.1f}M{middle:.2f} {lower:.1f}V{axis.at(low):.1f}")
        # A bar that closed where it opened still has a body to see.
        tall = max(1.0, lower - upper)
        body = f"M{middle - wide * 0.33:.2f} {upper:.1f}h{wide * 0.66:.2f}v{tall:.1f}h{-wide * 0.66:.2f}z"
        (rose if end >= begin else fell).append(body)
    return (
        f'<path class="wick" d="{"".join(wicks)}"/><path class="rose" d="{"".join(rose)}"/>'
        f'<path class="fell" d="{"".join(fell)}"/>'
    )


def _trades(trades: Sequence[Mapping[str, Any]], drawn: Candles, axis: Scale) -> tuple[str, str]:
    """Lines from entry to exit, and the marks at both ends."""
    paid: dict[bool, list[str]] = {True: [], False: []}
    marks = []
    for one in trades:
        begin, end = drawn.place(instant(one["open_date"])), drawn.place(instant(one["close_date"]))
        entry, exit_ = axis.at(one["open_rate"]), axis.at(one["close_rate"])
        paid[(one["profit_ratio"] or 0.0) > 0.0].append(
            f"M{begin * WIDTH:.1f} {entry:.1f}L{end * WIDTH:.1f} {exit_:.1f}"
        )
        side = "short" if one["is_short"] else "long"
        said = f"<title>{text(_said(one, side))}</title>"
        marks.append(
            f'<svg x="{end * 100.0:.2f}%" y="{exit_:.1f}" class="mark exit"><circle r="3.2"/>{said}</svg>'
            f'<svg x="{begin * 100.0:.2f}%" y="{entry:.1f}" class="mark {side}">'
            f'<path d="{"M0 2l5 -9h-10z" if one["is_short"] else "M0 -2l5 9h-10z"}"/>{said}</svg>'
        )
    lines = f'<path class="join gained" d="{"".join(paid[True])}"/><path class="join lost" d="{"".join(paid[False])}"/>'
    return lines, "".join(marks)


def _said(trade: Mapping[str, Any], side: str) -> str:
    return (
        f"{side}: {date(instant(trade['open_date']))} at {price(trade['open_rate'])}, "
        f"{date(instant(trade['close_date']))} at {price(trade['close_rate'])}, "
        f"{percent(trade['profit_ratio'], signed=True)}, {trade['exit_reason']}"
    )
