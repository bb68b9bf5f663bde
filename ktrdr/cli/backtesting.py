"""`ktrdr backtest`: backtest a trained strategy without a session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

STRATEGY_FILES = (".yaml", ".yml", ".json")
Html = Annotated[Path | None, typer.Option(help="Write the tear sheet here.")]
Export = Annotated[
    Path | None, typer.Option(help="Write the trades here: .csv, .json or .parquet, by the name.")
]
Equity = Annotated[Path | None, typer.Option(help="Write the equity at every bar here, in the same ways.")]


def _rule(help: str) -> Any:
    return typer.Option(help=f"{help}; the strategy's when left out.")


Days = Annotated[str | None, typer.Option(help="Both included: 20140101-20181231, 20140101-, -20181231.")]
Capital = Annotated[float | None, typer.Option(help="Money at the beginning; 100,000.")]
Fee = Annotated[float | None, _rule("Of the amount, each side: 0.001 is 0.1 %")]
Slippage = Annotated[float | None, _rule("Of the price, against us, each side")]
Fraction = Annotated[float | None, _rule("Of the equity that a new position is worth")]
StopLoss = Annotated[float | None, _rule("Of the entry price: 0.05 is 5 %")]
TakeProfit = Annotated[float | None, _rule("Of the entry price")]
TrailingStop = Annotated[float | None, _rule("Of the best price since the entry")]
Speed = Annotated[float | None, typer.Option(min=1.0, help="No faster than this, to watch it.")]


def backtest(
    model: Annotated[
        str,
        typer.Argument(
            metavar="TRAINING|STRATEGY",
            help="A completed training's operation id, or a strategy file: its latest training is taken.",
        ),
    ],
    timerange: Days = None,
    fee: Fee = None,
    slippage: Slippage = None,
    capital: Capital = None,
    position_fraction: Fraction = None,
    stop_loss: StopLoss = None,
    take_profit: TakeProfit = None,
    trailing_stop: TrailingStop = None,
    bars_per_second: Speed = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    html: Html = None,
    export: Export = None,
    equity: Equity = None,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of its worker.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print what the API said.")] = False,
) -> None:
    """Backtest a trained strategy on rows that its networks never saw.

    A file that is to be written (--html, --export, --equity) waits for the end as --watch does.
    """
    from ktrdr.cli.client import Client

    wanted = {"html": html, "trades": export, "equity": equity}
    check_names(wanted)
    client = Client()
    rules = {
        "timerange": timerange,
        "fee": fee,
        "slippage": slippage,
        "capital": capital,
        "position_fraction": position_fraction,
        "stop_loss": stop_loss,
        "take_profit": take_profit,
        "trailing_stop": trailing_stop,
        "bars_per_second": bars_per_second,
    }
    given = {name: one for name, one in rules.items() if one is not None}
    body = {**_of(client, model), **given, "resources": {"num_cpus": cpus}}
    started = client.post("/backtests/start", body)
    _followed(client, started, wanted, watch=watch or any(wanted.values()), json=json)


def _followed(
    client: Any, started: dict[str, Any], wanted: dict[str, Path | None], *, watch: bool, json: bool
) -> None:
    """Say what was started; follow it and write its files, where that is asked for."""
    from rich.markup import escape

    from ktrdr.cli.render import as_json, console
    from ktrdr.cli.reports import written
    from ktrdr.cli.training import watched

    operation_id = started["operation_id"]
    if json and not watch:
        as_json(started)
        return
    if not json:
        of = escape(started["training_operation_id"])
        console.print(f"Backtest of {of} started ({escape(operation_id)}).", soft_wrap=True)
    if not watch:
        console.print(f"Follow it: ktrdr operations watch {escape(operation_id)}", soft_wrap=True)
        return
    watched(client, operation_id, json)
    written(client, operation_id, wanted, quiet=json)


def check_names(wanted: dict[str, Path | None]) -> None:
    """Refuse a file whose name says no format, before anything is computed for it."""
    for option, path in wanted.items():
        if path is not None and option != "html" and path.suffix.lower() not in (".csv", ".json", ".parquet"):
            raise typer.BadParameter(f"{path}: name it .csv, .json or .parquet")


def _of(client: Any, model: str) -> dict[str, Any]:
    """The part of the request that names the model."""
    from ktrdr.cli.strategies import strategy_of

    if Path(model).suffix.lower() in STRATEGY_FILES:
        return {"strategy": strategy_of(client, Path(model))}
    return {"training_operation_id": model}
