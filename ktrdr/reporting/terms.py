"""On what terms and on which rows a backtest was made, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ktrdr.reporting.tables import definitions
from ktrdr.reporting.wording import chosen, count, date, instant, money, text

ROWS = {
    "validation": "Validation rows: each was predicted by networks that never saw it.",
    "holdout": (
        "Holdout rows: sealed until this exam. Nothing was chosen by them, and each opening is counted."
    ),
    "watched": (
        "Watched rows: the training stopped where these rows looked best. They flatter the strategy; "
        "rows that nothing has looked at will do worse."
    ),
}
UNKNOWN = "The report does not say whether these rows had been seen in training. Take them for seen."
HASHES = ("fingerprint", "strategy_sha256", "weights_sha256", "trades_sha256", "equity_sha256")


def kind_of_rows(meta: Mapping[str, Any]) -> str:
    """The sentence that stands above everything: what these figures may be believed for."""
    segment = str(meta.get("segment") or "")
    known = segment if segment in ROWS else "unknown"
    return f'<p class="rows {known}">{text(ROWS.get(segment, UNKNOWN))}</p>'


def terms(meta: Mapping[str, Any]) -> str:
    """Rules, data, costs, the annualisation factor, and what identifies the run."""
    rules = {**meta, **(meta.get("rules") or {})}
    return (
        '<section id="terms"><h2>Terms</h2><div class="pair">'
        f"<div><h3>Rules</h3>{definitions(_rules(rules))}</div>"
        f"<div><h3>Data</h3>{definitions(_data(meta))}</div></div>"
        f"<h3>Identity</h3>{definitions(_identity(meta))}</section>"
    )


def _rules(rules: Mapping[str, Any]) -> list[tuple[str, str]]:
    fraction = rules.get("fraction")
    separation = rules.get("min_separation")
    return [
        ("Capital", money(rules["capital"]) if rules.get("capital") is not None else ""),
        ("Fee", _share(rules.get("fee"), "of the amount, each side")),
        ("Slippage", _share(rules.get("slippage"), "of the price, each side, against the strategy")),
        (
            "Position",
            "" if fraction is None else "all in" if fraction == 1.0 else _share(fraction, "of the equity"),
        ),
        ("Stop loss", _share(rules.get("stop_loss"), "of the entry price", none="none")),
        ("Take profit", _share(rules.get("take_profit"), "of the entry price", none="none")),
        ("Trailing stop", _share(rules.get("trailing_stop"), "of the best price since entry", none="none")),
        ("Between entries", f"{count(separation)} bars or more" if separation else ""),
        ("Shorts", _allowed(rules.get("shorts"))),
        ("Fills", "decided at a bar’s close, filled at the next open"),
    ]


def _data(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    span = f"{date(instant(meta['first']))} to {date(instant(meta['last']))}"
    return [
        ("Symbols", ", ".join(text(one) for one in meta["symbols"])),
        ("Timeframe", text(meta.get("timeframe") or "")),
        ("Bars", f"{count(meta['bars'])}, {span}, UTC"),
        ("Rows", text(meta.get("segment") or "")),
        ("A year has", f"{count(meta['bars_per_year'])} bars: what yearly figures are scaled by"),
    ]


def _identity(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    hashes = [
        (
            name.replace("_sha256", " SHA-256").replace("_", " ").capitalize(),
            f"<code>{text(meta[name])}</code>",
        )
        for name in HASHES
        if meta.get(name)
    ]
    return [
        ("Strategy", text(meta.get("strategy") or "")),
        ("Operation", f"<code>{text(meta['operation_id'])}</code>" if meta.get("operation_id") else ""),
        (
            "Training",
            f"<code>{text(meta['training_operation_id'])}</code>"
            if meta.get("training_operation_id")
            else "",
        ),
        *hashes,
    ]


def _share(value: float | None, of: str, *, none: str = "") -> str:
    return none if value is None else f"{chosen(value)} {of}"


def _allowed(value: object) -> str:
    return "" if value is None else "allowed" if value else "not allowed"
