"""What a backtest came to, for a person, and as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from ktrdr.cli.render import console, number, pairs, table

# What a row says, the metric, the one of buy and hold beside it, and how both are written.
ROWS: tuple[tuple[str, str, str | None, str], ...] = (
    ("total return", "total_return", "buy_and_hold_return", "+.2%"),
    ("a year, by the calendar", "cagr", "buy_and_hold_cagr", "+.2%"),
    ("volatility, a year", "volatility", "buy_and_hold_volatility", ".2%"),
    ("Sharpe ratio", "sharpe", "buy_and_hold_sharpe", ".2f"),
    ("Sortino ratio", "sortino", None, ".2f"),
    ("Calmar ratio", "calmar", None, ".2f"),
    ("deepest drawdown", "max_drawdown", "buy_and_hold_max_drawdown", ".2%"),
    ("final equity", "final_equity", None, ",.2f"),
    ("fees paid", "fees", None, ",.2f"),
    ("time in market", "exposure", None, ".1%"),
    ("trades", "trades", None, ",d"),
    ("win rate", "win_rate", None, ".1%"),
    ("profit factor", "profit_factor", None, ".2f"),
    ("average trade", "average_trade", None, "+.3%"),
    ("best trade", "best_trade", None, "+.2%"),
    ("worst trade", "worst_trade", None, "+.2%"),
)
SEGMENTS = {
    "validation": "each bar was predicted by networks that never saw it",
    "watched": "the training stopped where these rows looked best, which flatters",
    "holdout": "sealed until this exam",
}


def report(operation: Mapping[str, Any]) -> None:
    """The tables of a backtest that has completed; nothing of another operation."""
    result = operation["result"]
    if operation["operation_type"] != "backtesting" or result is None:
        return
    _figures(result)
    reasons = result.get("exit_reasons")
    if reasons:
        by_count = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
        console.print("\n[bold]Exits[/bold]")
        pairs({escape(name.replace("_", " ")): f"{count:,}" for name, count in by_count})
    if "report" in result:
        console.print("\n[bold]Report[/bold]")
        command = f"ktrdr operations report {operation['operation_id']} --html FILE --export trades.csv"
        pairs(
            {
                "files": f"$KTRDR_HOME/artifacts/{result['report']['path']}",
                "get them": command,
                "trades": result["trades_sha256"],
                "equity": result["equity_sha256"],
            }
        )


def _figures(result: Mapping[str, Any]) -> None:
    """The metrics that there are, beside those of buying and holding the same bars."""
    days = f", {result['first'][:10]} to {result['last'][:10]}" if "first" in result else ""
    console.print(f"\n[bold]Backtest[/bold] ({result['bars']:,} bars{escape(days)}, after costs)")
    segment = SEGMENTS.get(result.get("segment", ""))
    if segment is not None:
        console.print(f"  {result['segment']} rows: {segment}")
    metrics = result["metrics"]
    rows = [
        (f"  {name}", number(metrics[key], form), "" if beside is None else number(metrics.get(beside), form))
        for name, key, beside, form in ROWS
        if key in metrics
    ]
    table(("", "STRATEGY", "BUY AND HOLD"), rows, empty="", figures=True)
    if metrics.get("trades") == 0:
        console.print("\nIt never traded: lower decisions.confidence_threshold, or train it longer.")


def written(client: Any, operation_id: str, wanted: Mapping[str, Path | None], *, quiet: bool) -> None:
    """Fetch the files that were asked for: `html`, `trades` and `equity`, each with its path."""
    for name, path in wanted.items():
        if path is None:
            continue
        if name == "html":
            content = client.content(f"/operations/{operation_id}/report.html")
        else:
            form = path.suffix.lower().removeprefix(".")
            content = client.content(f"/operations/{operation_id}/report/{name}", format=form)
        try:
            path.write_bytes(content)
        except OSError as error:
            raise typer.BadParameter(f"{path} can't be written ({error.strerror})") from error
        if not quiet:
            console.print(f"Wrote {escape(str(path))} ({len(content):,} bytes).", soft_wrap=True)
