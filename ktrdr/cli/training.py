"""`ktrdr train`: train a strategy without a session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    strategy: Annotated[Path, typer.Argument(help="A strategy, YAML or JSON.")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed, same networks.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="Data set; the strategy's own when left out.")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:n or mps; the strategy's own when left out.")
    ] = None,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of its worker.")] = 1,
    gpus: Annotated[float, typer.Option(min=0.0, help="GPUs of its worker, on a Ray cluster.")] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print what the API said.")] = False,
) -> None:
    """Train the networks of a strategy."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console
    from ktrdr.cli.strategies import strategy_of

    client = Client()
    body: dict[str, Any] = {
        "strategy": strategy_of(client, strategy),
        "seed": seed,
        "dataset": dataset,
        "device": device,
        "resources": {"num_cpus": cpus, "num_gpus": gpus},
    }
    started = client.post("/training/start", body)
    operation_id = started["operation_id"]
    if json and not watch:
        as_json(started)
        return
    if not json:
        console.print(f"Training started ({escape(operation_id)}).", soft_wrap=True)
    if watch:
        watched(client, operation_id, json)
    else:
        console.print(f"Follow it: ktrdr operations watch {escape(operation_id)}", soft_wrap=True)


def watched(client: Any, operation_id: str, json: bool) -> None:
    """Follow an operation to its end and show what it found; exit status 1 unless it completed.

    Progress goes to stderr under --json, so that stdout holds the operation alone.
    """
    from rich.markup import escape

    from ktrdr.cli.render import as_json, console, errors
    from ktrdr.cli.results import ending, results
    from ktrdr.cli.watch import follow_operation

    shown = errors if json else console
    try:
        ended = follow_operation(client, operation_id, console=shown)
    except KeyboardInterrupt:
        shown.print(f"It goes on. Follow it: ktrdr operations watch {escape(operation_id)}", soft_wrap=True)
        raise typer.Exit(130) from None
    if json:
        as_json(ended)
    elif ended["status"] == "COMPLETED":
        results(ended)
    else:
        ending(ended)
    if ended["status"] != "COMPLETED":
        raise typer.Exit(1)
