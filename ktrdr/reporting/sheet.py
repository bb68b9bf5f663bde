"""The tear sheet: one HTML file that needs nothing but itself, from the report of a backtest."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ktrdr.reporting.candles import Candles, candles, trades_on_candles
from ktrdr.reporting.columns import distribution, years
from ktrdr.reporting.curves import drawdown, equity
from ktrdr.reporting.script import SCRIPT
from ktrdr.reporting.stylesheet import STYLE
from ktrdr.reporting.tables import metric_table, months, tiles, trade_table
from ktrdr.reporting.terms import kind_of_rows, terms
from ktrdr.reporting.wording import date, instant, text


def _digest(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


# Only the two blocks that are written here run or style anything, whatever a name on the sheet says.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)


def tear_sheet(report: Mapping[str, Any], identity: Mapping[str, Any] | None = None) -> str:
    """The sheet of a report (schema 1), as one HTML document in light and dark.

    `identity` is what the report's own `meta` does not say and the operation's row does: operation_id,
    strategy, segment, fingerprint and hashes. Raises ValueError on a report of another schema.
    """
    if report.get("schema") != 1:
        raise ValueError(f"a tear sheet is made of a report of schema 1, not {report.get('schema')!r}")
    report = {**report, "meta": {**report["meta"], **(identity or {})}}
    drawn = candles(report["bars"])
    title = _title(report["meta"])
    charts = "".join(one.html() for one in (equity(report), drawdown(report)) if one)
    yearly, traded, spread = years(report), trades_on_candles(report, drawn), distribution(report)
    body = (
        _heading(report["meta"], title)
        + tiles(report["metrics"])
        + charts
        + months(report)
        + (yearly.html() if yearly else "")
        + (traded.html() if traded else "")
        + (spread.html() if spread else "")
        + metric_table(report)
        + trade_table(report)
        + terms(report["meta"])
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>{body}</main>'
        f'<script type="application/json" id="data">{_data(report, drawn)}</script>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _title(meta: Mapping[str, Any]) -> str:
    named = meta.get("strategy") or "Backtest"
    return text(f"{named} on {', '.join(meta['symbols'])}")


def _heading(meta: Mapping[str, Any], title: str) -> str:
    span = f"{date(instant(meta['first']))} to {date(instant(meta['last']))}"
    frame = f"{text(meta['timeframe'])} bars, " if meta.get("timeframe") else ""
    return f"<header><h1>{title}</h1><p>{frame}{span}</p>{kind_of_rows(meta)}</header>"


def _data(report: Mapping[str, Any], drawn: Candles) -> str:
    """What the read-outs under the pointer show; no name of anybody is in it."""
    series = report["series"]
    held = {"Buy and hold": _cents(series["benchmark"])} if series.get("benchmark") else {}
    fell = [None if one is None else round(-abs(one), 5) for one in series["drawdown"]]
    shown = {
        "equity": {
            "time": series["time"],
            "unit": "money",
            "values": {"Strategy": _cents(series["equity"]), **held},
        },
        "drawdown": {"time": series["time"], "unit": "percent", "values": {"Below the peak": fell}},
        "candles": {
            "time": drawn.time,
            "unit": "price",
            "even": True,
            "values": {"Open": drawn.open, "High": drawn.high, "Low": drawn.low, "Close": drawn.close},
        },
    }
    return json.dumps(shown, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _cents(values: list[float | None]) -> list[float | None]:
    return [None if one is None else round(one, 2) for one in values]
