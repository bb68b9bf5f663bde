"""`ktrdr data`: what strategies learn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Import, list, show, check and download market data.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
Key = Annotated[str, typer.Argument(help="The data set's key; 'ktrdr data list' has them.")]
Symbol = Annotated[str, typer.Option(help="The symbol, as strategies write it.")]
Timeframe = Annotated[str, typer.Option(help="1m, 5m, 15m, 30m, 1h, 2h, 4h, 1d or 1w.")]
Drop = Annotated[bool, typer.Option("--drop-bad-rows", help="Leave bad rows out; else they refuse the file.")]
Replace = Annotated[bool, typer.Option("--replace", help="Import over a data set that is there.")]
Holdout = Annotated[
    str | None,
    typer.Option(help="First day of the sealed holdout (2023-01-01); else the last quarter of the bars."),
]


@app.command("list")
def list_datasets(json: Json = False) -> None:
    """Data sets: the built-in one first."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, table

    found = Client().get("/data")
    if json:
        as_json(found)
        return
    rows = (
        (
            escape(one["key"]),
            escape(one["symbol"]),
            one["timeframe"],
            "-" if one["bars"] is None else f"{one['bars']:,}",
            one["start"],
            one["development_end"],
            one["end"],
        )
        for one in found
    )
    columns = ("KEY", "SYMBOL", "TIMEFRAME", "BARS", "FROM", "DEVELOPMENT TO", "HOLDOUT TO")
    table(columns, rows, empty="No data sets.")


@app.command()
def show(key: Key, json: Json = False) -> None:
    """One data set: segments, hash, first and last bars, warnings."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    one = Client().get(f"/data/{key}")
    as_json(one) if json else _shown(one)


@app.command()
def check(key: Key, json: Json = False) -> None:
    """Verify a data set's hash and look for gaps and implausible bars."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    found = Client().get(f"/data/{key}/check")
    as_json(found) if json else _checks(found)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, with a header.")],
    symbol: Symbol,
    timeframe: Timeframe,
    drop_bad_rows: Drop = False,
    holdout_start: Holdout = None,
    replace: Replace = False,
    timezone: Annotated[
        str | None, typer.Option(help="Of times without a zone, such as America/New_York; else UTC.")
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="How 01/02/2020 is read.")
    ] = None,
    json: Json = False,
) -> None:
    """Import a file of bars; every bad row is named by its line."""
    from ktrdr.cli.client import Client

    flags = {"drop_bad_rows": drop_bad_rows, "replace": replace, "holdout_start": holdout_start}
    more = {"timezone": timezone, "day_first": day_first, "source": file.name}
    try:
        with file.open("rb") as body:
            done = Client().upload("/data/import", body, symbol=symbol, timeframe=timeframe, **flags, **more)
    except OSError as error:
        raise typer.BadParameter(f"{file} can't be read ({error.strerror})") from error
    _imported(done, json)


@app.command()
def download(
    source: Annotated[str, typer.Option(help="yfinance or ccxt; each an extra of the backend.")],
    symbol: Symbol,
    timeframe: Timeframe,
    start: Annotated[str, typer.Option(help="First day, 2020-01-01.")],
    end: Annotated[str, typer.Option(help="Last day, 2023-12-31.")],
    exchange: Annotated[str | None, typer.Option(help="ccxt's name of the exchange; else binance.")] = None,
    drop_bad_rows: Drop = False,
    holdout_start: Holdout = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Import bars from a provider."""
    from ktrdr.cli.client import Client

    body = {
        "provider": source,
        "symbol": symbol,
        "timeframe": timeframe,
        "start": start,
        "end": end,
        "exchange": exchange,
        "drop_bad_rows": drop_bad_rows,
        "holdout_start": holdout_start,
        "replace": replace,
    }
    _imported(Client().post("/data/download", body, timeout=None), json)


def _imported(done: Mapping[str, Any], json: bool) -> None:
    from rich.markup import escape

    from ktrdr.cli.render import as_json, console

    if json:
        as_json(done)
        return
    console.print(f"Imported [bold]{escape(done['key'])}[/bold]: {done['bars']:,} bars.")
    for note in done["notes"]:
        console.print(f"  {escape(note)}")
    for reason, count in done["dropped"].items():
        console.print(f"  left out: {count} × {escape(reason)}")
    _shown(done)


def _shown(one: Mapping[str, Any]) -> None:
    from ktrdr.cli.render import pairs

    names = ("key", "symbol", "timeframe", "bars", "start", "development_end", "holdout_start", "end")
    pairs({**{name: one[name] for name in (*names, "source", "imported_at", "sha256")}})
    _bars(one["checks"])
    _checks(one["checks"])


def _bars(checks: Mapping[str, Any]) -> None:
    from ktrdr.cli.render import console, table

    columns = ("time", "open", "high", "low", "close", "volume")
    rows = [[str(bar[name]) for name in columns] for bar in (*checks["first"], *checks["last"])]
    console.print("\n[bold]First and last bars[/bold]")
    table([name.upper() for name in columns], rows, empty="No bars.")


def _checks(found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from ktrdr.cli.render import console

    gaps = found["gaps"]
    console.print(
        f"\n[bold]Checks[/bold] {found['bars']:,} bars, {found['duplicates']} duplicates, "
        f"{found['non_monotonic']} out of order, {found['high_below_low']} with high below low"
    )
    console.print(
        f"  open is the previous close in {found['open_is_previous_close']:.1%}, volume is zero in "
        f"{found['zero_volume']:.1%} of the bars"
    )
    closings = sum(one["count"] for one in gaps["recurring"])
    console.print(
        f"  {gaps['count']} gaps with {gaps['missing_bars']:,} bars missing; besides, {closings} closings "
        "that recur (nights, weekends)"
    )
    for one in gaps["longest"]:
        console.print(f"  after {one['after']}: {one['missing_bars']:,} bars missing")
    for one in found["warnings"]:
        console.print(f"  [yellow]warning[/yellow] {escape(one)}")
