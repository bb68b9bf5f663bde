"""`ktrdr checkpoints`: what is kept to resume from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(help="List, show, verify, count, delete and clean up checkpoints.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
CORRUPTED = "CHECKPOINT_CORRUPTED"
OperationId = Annotated[str, typer.Argument(help="Operation id.")]
FILES = ("checkpoint_files", "result_files", "orphaned_files", "other_files")


@app.command("list")
def list_checkpoints(json: Json = False) -> None:
    """Checkpoints, newest first."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, coloured, table

    found = Client().get("/checkpoints", timeout=None)
    if json:
        as_json(found)
        return
    rows = (
        (
            escape(one["operation_id"]),
            coloured(one["operation_status"]),
            one["checkpoint_type"],
            str(one["sequence"]),
            _verdict(one),
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
def verify(
    operation_id: Annotated[str | None, typer.Argument(help="Operation id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every checkpoint there is.")] = False,
    json: Json = False,
) -> None:
    """Read checkpoints to the last byte; the exit status is 1 when one is not what was saved."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    if every == (operation_id is not None):
        raise typer.BadParameter("name one operation, or give --all")
    client = Client()
    found = client.get("/checkpoints", timeout=None, operation_id=operation_id)
    if operation_id is not None and not found:
        client.get(f"/checkpoints/{operation_id}")  # says why there is none
    as_json(found) if json else _verdicts(found)
    if any(_is_corrupted(one) for one in found):
        raise typer.Exit(1)


@app.command()
def delete(operation_id: OperationId, json: Json = False) -> None:
    """Delete the checkpoint of an operation that is not running."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console

    answer = Client().delete(f"/checkpoints/{operation_id}")
    as_json(answer) if json else console.print(f"Deleted the checkpoint of {escape(operation_id)}.")


@app.command()
def cleanup(
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Default: KTRDR_CHECKPOINT_DAYS.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete old checkpoints and orphaned files; never those of what waits or runs."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.quantities import size
    from ktrdr.cli.render import as_json, console

    body = {"older_than_days": older_than, "dry_run": dry_run}
    done = Client().post("/checkpoints/cleanup", body, timeout=None)
    if json:
        as_json(done)
        return
    for one in (*done["deleted"], *done["orphans"]):
        console.print(f"  {escape(one)}", soft_wrap=True)
    found, freed = _freed(done), size(done["freed_bytes"])
    console.print(f"Would delete {found}: {freed}." if dry_run else f"Deleted {found}: {freed} freed.")
    if done["more"]:
        console.print("There is more: run it again.")


@app.command()
def stats(json: Json = False) -> None:
    """How many checkpoints there are, what their files take, and what the next cleanup takes."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.quantities import size
    from ktrdr.cli.render import as_json, pairs

    found = Client().get("/checkpoints/statistics")
    if json:
        as_json(found)
        return
    last, kinds = found["last_cleanup"], found["by_operation_type"]
    swept = (
        "none since the backend started"
        if last is None
        else f"{last['at']}: {_freed(last)}, {size(last['freed_bytes'])} freed"
    )
    files = {name: f"{size(found[name]['bytes'])} in {found[name]['folders']} folders" for name in FILES}
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    pairs(
        {
            "checkpoints": f"{found['checkpoints']} ({counted})" if kinds else "0",
            "resumable": found["resumable"],
            "oldest": found["oldest"],
            f"not written to for {found['checkpoint_days']:g} days": found["expired"],
            **{name.replace("_", " "): shown for name, shown in files.items()},
            "last cleanup": swept,
        }
    )


def _freed(done: Any) -> str:
    from ktrdr.cli.quantities import many

    return f"{many(done['deleted'], 'checkpoint')} and {many(done['orphans'], 'orphaned folder')}"


def _verdicts(found: list[Any]) -> None:
    """A row a checkpoint, and below what is wrong with those that have something."""
    from rich.markup import escape

    from ktrdr.cli.render import console, printable, table

    rows = (
        (
            escape(one["operation_id"]),
            one["checkpoint_type"],
            str(one["sequence"]),
            str(len(one["artifacts"])),
            f"{sum(file['bytes'] for file in one['artifacts'].values()):,}",
            _verdict(one),
        )
        for one in found
    )
    table(("OPERATION", "TYPE", "SEQUENCE", "FILES", "BYTES", "RESULT"), rows, empty="No checkpoints.")
    for one in found:
        if one["fault"] is not None:
            console.print(f"\n{escape(printable(one['fault']['message']))}", soft_wrap=True)
    if found:
        corrupted = sum(_is_corrupted(one) for one in found)
        console.print(f"\n{len(found)} verified, {corrupted} corrupted.")


def _verdict(one: Any) -> str:
    """In a word, and of what is corrupted which part or file."""
    from rich.markup import escape

    fault = one["fault"]
    if fault is None:
        return "[green]intact[/green]"
    if not _is_corrupted(one):
        return "[yellow]another version[/yellow]"
    named = fault["details"].get("artifact", fault["details"].get("part", ""))
    return f"[red]corrupted: {escape(str(named))}[/red]"


def _is_corrupted(one: Any) -> bool:
    return one["fault"] is not None and one["fault"]["code"] == CORRUPTED
