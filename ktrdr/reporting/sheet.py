"""The tear sheet: one HTML file that needs nothing but itself, from the report of a backtest."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ktrdr.reporting.candles import SHOWN, candles, trades_on_candles
from ktrdr.reporting.columns import distribution, years
from ktrdr.reporting.curves import drawdown, equity
from ktrdr.reporting.tables import metric_table, months, tiles, trade_table
from ktrdr.reporting.terms import kind_of_rows, terms
from ktrdr.reporting.wording import date, instant, text


def _beside(name: str) -> str:
    return resources.files("ktrdr.reporting").joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


STYLE, SCRIPT = _beside("sheet.css"), _beside("sheet.js")
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
    meta = {**report["meta"], **(identity or {})}
    report = {**report, "meta": meta}
    charts = [equity(report), drawdown(report)]
    columns = [years(report), distribution(report)]
    parts = [
        _heading(meta),
        tiles(report["metrics"]),
        *(one.html() for one in charts if one),
        months(report),
        *(one.html() for one in columns[:1] if one),
        trades_on_candles(report),
        *(one.html() for one in columns[1:] if one),
        metric_table(report),
        trade_table(report),
        terms(meta),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<title>{_title(meta)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main>"
        f'<script type="application/json" id="data">{_data(report)}</script>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _title(meta: Mapping[str, Any]) -> str:
    named = meta.get("strategy") or "Backtest"
    return text(f"{named} on {', '.join(meta['symbols'])}")


def _heading(meta: Mapping[str, Any]) -> str:
    span = f"{date(instant(meta['first']))} to {date(instant(meta['last']))}"
    frame = f"{text(meta['timeframe'])} bars, " if meta.get("timeframe") else ""
    return f"<header><h1>{_title(meta)}</h1><p>{frame}{span}</p>{kind_of_rows(meta)}</header>"


def _data(report: Mapping[str, Any]) -> str:
    """What the read-outs under the pointer show; no name of anybody is in it."""
    series = report["series"]
    worth = {"Strategy": _rounded(series["equity"], 8)}
    if series.get("benchmark"):
        worth["Buy and hold"] = _rounded(series["benchmark"], 8)
    fell = {"Below the peak": _rounded([None if one is None else abs(one) for one in series["drawdown"]], 5)}
    shown = {
        "equity": {"time": series["time"], "unit": "money", "values": worth},
        "drawdown": {"time": series["time"], "unit": "percent", "values": fell},
        "candles": _prices(report["bars"], SHOWN),
        "every": _prices(report["bars"], max(1, len(report["bars"]["time"]))),
    }
    return json.dumps(shown, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _prices(bars: Mapping[str, Sequence[Any]], most: int) -> dict[str, Any]:
    drawn = candles(bars, most)
    columns = {"Open": drawn.open, "High": drawn.high, "Low": drawn.low, "Close": drawn.close}
    values = {name: _rounded(column, 7) for name, column in columns.items()}
    return {"time": drawn.time, "unit": "price", "even": True, "values": values}


def _rounded(values: Sequence[float | None], digits: int) -> list[float | None]:
    """To significant digits: the read-outs show no more, and the file is half as large."""
    return [None if one is None else float(f"{one:.{digits}g}") for one in values]
