"""`ktrdr`: the command line."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ktrdr import __version__
from ktrdr.cli import (
    backtesting,
    budget,
    checkpoints,
    data,
    doctor,
    operations,
    research,
    restarts,
    strategies,
    training,
)

app = typer.Typer(
    name="ktrdr",
    help="Research trading strategies in sessions that survive anything.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(research.app, name="research")
app.add_typer(operations.app, name="operations")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(strategies.app, name="strategies")
app.add_typer(data.app, name="data")
app.command("train")(training.train)
app.command("backtest")(backtesting.backtest)
app.command("restarts")(restarts.restarts)
app.command("doctor")(doctor.doctor)
research.app.command("budget")(budget.budget)


def _version(asked: bool) -> None:
    if asked:
        print(f"ktrdr {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Research trading strategies in sessions that survive anything."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    allow_unknown_price: Annotated[
        bool, typer.Option("--allow-unknown-price", help="Ask a model whose price is not known.")
    ] = False,
) -> None:
    """Run the backend in the foreground."""
    if host is not None:
        os.environ["KTRDR_HOST"] = host
    if port is not None:
        os.environ["KTRDR_PORT"] = str(port)
    if allow_unknown_price:
        os.environ["KTRDR_ALLOW_UNKNOWN_PRICE"] = "true"
    os.execv(sys.executable, [sys.executable, "-m", "ktrdr.api"])


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scratch home.")] = False,
    seed: Annotated[int, typer.Option(help="The session's seed.")] = 0,
    prove: Annotated[bool, typer.Option(help="Run it again, uninterrupted, and compare.")] = True,
) -> None:
    """Watch a research session lose its backend twice, and finish."""
    from ktrdr.cli.demo import run_demo

    raise typer.Exit(run_demo(keep=keep, seed=seed, prove=prove))


def run() -> None:
    """Entry point: an error of the backend is a sentence, not a traceback."""
    from ktrdr.cli.client import ApiError

    try:
        app()
    except ApiError as error:
        from rich.markup import escape

        from ktrdr.cli.render import errors, printable

        said = escape(printable(error.message))
        errors.print(f"[red]{escape(error.code)}[/red] {said}", soft_wrap=True)
        for one in error.details.get("errors", []):
            errors.print(f"  {escape(str(one.get('path')))}: {escape(str(one.get('message')))}")
        sys.exit(1)
