"""`ktrdr checkpoints`: what is kept to resume from."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="List, show and delete checkpoints.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
OperationId = Annotated[str, typer.Argument(help="Operation id.")]


@app.command("list")
def list_checkpoints(json: Json = False) -> None:
    """Checkpoints, newest first."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, coloured, table

    found = Client().get("/checkpoints")
    if json:
        as_json(found)
        return
    rows = (
        (
            escape(one["operation_id"]),
            coloured(one["operation_status"]),
            one["checkpoint_type"],
            str(one["sequence"]),
            escape(one["integrity"]),
        )
        for one in found
    )
    table(("OPERATION", "STATUS", "TYPE", "SEQUENCE", "INTEGRITY"), rows, empty="No checkpoints.")


@app.command()
def show(operation_id: OperationId, json: Json = False) -> None:
    """One checkpoint, verified."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, pairs

    one = Client().get(f"/checkpoints/{operation_id}")
    if json:
        as_json(one)
        return
    names = ("operation_id", "operation_status", "checkpoint_type", "sequence", "phase", "epoch", "bar")
    pairs({name: one[name] for name in (*names, "created_at", "integrity", "resumable")})


@app.command()
def delete(operation_id: OperationId, json: Json = False) -> None:
    """Delete the checkpoint of an operation that is not running."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console

    answer = Client().delete(f"/checkpoints/{operation_id}")
    as_json(answer) if json else console.print(f"Deleted the checkpoint of {escape(operation_id)}.")
