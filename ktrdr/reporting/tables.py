"""The sheet's tables: headline, months, metrics, trades, and what was simulated on what terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ktrdr.reporting.metrics import groups, headline
from ktrdr.reporting.wording import (
    NOTHING,
    amount,
    cents,
    date,
    duration,
    instant,
    percent,
    price,
    text,
)

LISTED = 200  # trades; the exports have all
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LEVELS = 5  # shades of a gain or a loss


def tiles(metrics: Mapping[str, Any]) -> str:
    """The figures one looks at first, buy-and-hold's below them."""
    drawn = "".join(
        f'<div class="tile"><dt>{text(one.label)}</dt><dd>{text(one.value)}</dd>'
        + (f'<dd class="beside">buy and hold {text(one.beside)}</dd>' if one.beside else "")
        + "</div>"
        for one in headline(metrics)
    )
    return f'<section id="headline" aria-label="Headline figures"><dl class="tiles">{drawn}</dl></section>'


def months(report: Mapping[str, Any]) -> str:
    """Years by months, each cell shaded by its return, the year's total at the end."""
    found = {(int(year), int(month)): value for year, month, value in report["monthly"]}
    if not found:
        return ""
    totals = {int(year): value for year, value in report["yearly"]}
    sizes = sorted(abs(value) for value in found.values() if value is not None)
    full = sizes[len(sizes) * 9 // 10] if sizes else 0.0  # one wild month leaves the others their colours
    head = "".join(f'<th scope="col">{one}</th>' for one in MONTHS)
    lines = "".join(
        f'<tr><th scope="row">{year}</th>'
        + "".join(_month(found.get((year, month)), full) for month in range(1, 13))
        + f'<td class="total">{_short(totals.get(year))}</td></tr>'
        for year in sorted({year for year, _ in found})
    )
    return (
        '<section id="months"><h2>Months</h2><p class="note">Return of each month in per cent; blue gained, '
        'orange lost, a stronger shade is more.</p><div class="scroll" tabindex="0"><table class="heat">'
        f'<thead><tr><th scope="col">Year</th>{head}<th scope="col">Total</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def metric_table(report: Mapping[str, Any]) -> str:
    """Every figure in plain words, grouped, with buy-and-hold's where it has one."""
    bodies = "".join(
        f'<tbody><tr><th colspan="4" scope="rowgroup" class="group">{text(title)}</th></tr>'
        + "".join(
            f'<tr><th scope="row">{text(one.label)}</th><td class="figure">{text(one.value)}</td>'
            f'<td class="figure">{text(one.beside)}</td><td class="says">{text(one.says)}</td></tr>'
            for one in rows
        )
        + "</tbody>"
        for title, rows in groups(report["metrics"])
    )
    return (
        '<section id="metrics"><h2>Metrics</h2><p class="note">– is unknown: too little happened to tell.</p>'
        '<table class="metrics"><thead><tr><th scope="col">Figure</th><th scope="col" class="figure">Strategy'
        '</th><th scope="col" class="figure">Buy and hold</th>'
        f'<th scope="col" class="says">What it is</th></tr></thead>{bodies}</table></section>'
    )


def trade_table(report: Mapping[str, Any]) -> str:
    """The first trades, and how many more there are."""
    trades = report["trades"]
    if not trades:
        return (
            '<section id="trades"><h2>Trades</h2><p class="note">No position was ever opened.</p></section>'
        )
    columns = (
        "#",
        "Pair",
        "Side",
        "Entered",
        "Left",
        "Time",
        "Entry",
        "Exit",
        "Amount",
        "Fees",
        "Profit",
        "Return",
        "Exit by",
    )
    words = {"Pair", "Side", "Entered", "Left", "Exit by"}
    head = "".join(f'<th scope="col"{"" if one in words else _FIGURE}>{one}</th>' for one in columns)
    lines = "".join(_trade(number, one) for number, one in enumerate(trades[:LISTED], start=1))
    more = len(trades) - LISTED
    said = (
        f"The first {LISTED} of {len(trades):,} trades; {more:,} more are in the exports."
        if more > 0
        else f"{len(trades):,} trades."
    )
    return (
        f'<section id="trades"><h2>Trades</h2><p class="note">{said} Times are UTC; profit and return are '
        'after costs.</p><div class="scroll" tabindex="0"><table class="trades">'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, both already HTML; a row without a value is left out."""
    drawn = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows if value)
    return f'<dl class="terms">{drawn}</dl>'


_FIGURE = ' class="figure"'


def _trade(number: int, trade: Mapping[str, Any]) -> str:
    figures: Sequence[str] = (
        duration(trade["trade_duration"]),
        price(trade["open_rate"]),
        price(trade["close_rate"]),
        amount(trade["amount"]),
        cents(trade["fee"]),
        cents(trade["profit_abs"], signed=True),
        percent(trade["profit_ratio"], signed=True),
    )
    opened, closed = (date(instant(trade[one])) for one in ("open_date", "close_date"))
    side = "short" if trade["is_short"] else "long"
    cells = "".join(f"<td{_FIGURE}>{one}</td>" for one in figures)
    return (
        f"<tr><td{_FIGURE}>{number}</td><td>{text(trade['pair'])}</td><td class={side!r}>{side}</td>"
        f"<td>{opened}</td><td>{closed}</td>{cells}<td>{text(_words(trade['exit_reason']))}</td></tr>"
    )


def _words(reason: object) -> str:
    return str(reason).replace("_", " ")


def _month(value: float | None, full: float) -> str:
    if value is None:
        return "<td></td>"
    level = min(LEVELS, round(abs(value) / full * LEVELS)) if full > 0.0 else 0
    side = "gain" if value > 0.0 else "loss"
    return f'<td class="{side}{level}">{_short(value)}</td>'


def _short(value: float | None) -> str:
    """Per cent without its sign: the cells of the heat map are narrow."""
    if value is None:
        return ""
    shown = (
        percent(value).rstrip("%")
        if abs(value) >= 9.995
        else f"{value * 100.0:.1f}".replace("-", "\N{MINUS SIGN}")
    )
    return shown if shown not in {"\N{MINUS SIGN}0.0", NOTHING} else "0.0"
