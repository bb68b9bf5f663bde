"""`ktrdr operations`: what runs, what stopped, what can be resumed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ktrdr.cli.backtesting import Equity, Export, Html, check_names

app = typer.Typer(help="List, show, cancel and resume operations.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
OperationId = Annotated[str, typer.Argument(help="Operation id.")]


@app.command("list")
def list_operations(
    status: Annotated[
        str | None, typer.Option(help="PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="agent_research, campaign, training or backtesting.")
    ] = None,
    resumable: Annotated[bool, typer.Option("--resumable", help="Only what can be resumed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: Json = False,
) -> None:
    """Operations, newest first."""
    from datetime import UTC, datetime

    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.quantities import age
    from ktrdr.cli.render import as_json, coloured, console, table

    found = Client().get(
        "/operations",
        status=status and status.upper(),
        type=kind and kind.lower(),
        resumable=True if resumable else None,
        limit=limit,
    )
    if json:
        as_json(found)
        return
    now = datetime.now(UTC)
    table(
        ("ID", "TYPE", "STATUS", "DONE", "CHECKPOINT", "AGE"),
        (
            (
                escape(one["operation_id"]),
                one["operation_type"],
                coloured(one["status"]),
                _progress(one),
                _place(one["checkpoint"]),
                age((one["checkpoint"] or {}).get("created_at"), now),
            )
            for one in found
        ),
        empty="No operations.",
    )
    waiting = sum(one["resumable"] for one in found)
    if waiting:
        console.print(f"\n{waiting} can be resumed: ktrdr operations resume ID")


@app.command()
def show(operation_id: OperationId, json: Json = False) -> None:
    """One operation, and what a training or a backtest came to."""
    from rich.markup import escape

    from ktrdr.cli import resumes
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console, pairs, printable, warning_of
    from ktrdr.cli.results import results

    client = Client()
    one = client.get(f"/operations/{operation_id}")
    if json:
        as_json(one)
        return
    names = ("operation_id", "operation_type", "status", "attempt", "error_code", "error_message")
    shown = {name: one[name] for name in (*names, "created_at", "started_at", "completed_at")}
    details = one["error_details"] or {}
    if details.get("exit_status") is not None:
        shown["error_code"] = f"{one['error_code']} (exit status {details['exit_status']})"
    message = one["progress"]["message"] or _progress(one)
    shown |= {"progress": message, "checkpoint": _checkpoint(one["checkpoint"])}
    if one.get("resumes"):
        shown["resumes"] = resumes.counted(client.get(f"/operations/{operation_id}/resumes"))
    pairs(shown)
    warning = warning_of(one["progress"])
    if warning is not None:
        console.print(f"\n[yellow]warning[/yellow] {escape(warning)}", soft_wrap=True)
    resumes.stuck(one.get("stuck"))
    if details.get("log"):
        console.print(f"\nThe end of its log (all of it: ktrdr operations log {escape(operation_id)})")
        console.print(escape(printable(details["log"].rstrip())), soft_wrap=True)
    results(one)
    if one["resumable"]:
        console.print(f"\nGo on: ktrdr operations resume {escape(operation_id)}", soft_wrap=True)


@app.command()
def watch(operation_id: OperationId, json: Json = False) -> None:
    """Follow an operation to its end."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.training import watched

    watched(Client(), operation_id, json)


@app.command()
def history(
    operation_id: OperationId,
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many epochs, the last ones.")] = 10_000,
    json: Json = False,
) -> None:
    """Every epoch of a training: loss, accuracy, learning rate."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json
    from ktrdr.cli.results import epochs

    found = Client().get(f"/operations/{operation_id}/history", last=last)
    as_json(found) if json else epochs(found)


@app.command()
def report(
    operation_id: OperationId,
    html: Html = None,
    export: Export = None,
    equity: Equity = None,
    json: Json = False,
) -> None:
    """What a backtest came to: its figures, or its tear sheet, trades and equity as files."""
    import json as reading

    from ktrdr.cli import reports
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    wanted = {"html": html, "trades": export, "equity": equity}
    check_names(wanted)
    client = Client()
    if json:
        as_json(reading.loads(client.content(f"/operations/{operation_id}/report")))
    elif not any(wanted.values()):
        client.content(f"/operations/{operation_id}/report")  # says why there is none
        reports.report(client.get(f"/operations/{operation_id}"))
    reports.written(client, operation_id, wanted, quiet=json)


@app.command()
def log(
    operation_id: OperationId,
    last_bytes: Annotated[
        int, typer.Option("--bytes", min=1, max=5_000_000, help="How much of its end.")
    ] = 65_536,
) -> None:
    """What an operation's workers wrote."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import printable

    typer.echo(printable(Client().text(f"/operations/{operation_id}/log", last_bytes=last_bytes)), nl=False)


@app.command()
def cancel(operation_id: OperationId, json: Json = False) -> None:
    """Save an operation's checkpoint and stop it."""
    from ktrdr.cli.client import Client

    cancelled(Client(), operation_id, f"ktrdr operations resume {operation_id}", json)


@app.command()
def resume(
    operation_id: OperationId,
    force: Annotated[bool, typer.Option("--force", help="Go on although the inputs changed.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would reuse and do anew, or why it can't be done.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    json: Json = False,
) -> None:
    """Go on from an operation's checkpoint."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.training import watched

    client = Client()
    if dry_run:
        previewed(client, operation_id, force, json)
        return
    resumed(client, operation_id, force, json, watch)
    if watch:
        watched(client, operation_id, json)


def cancelled(client: Any, operation_id: str, resume_command: str, json: bool) -> None:
    """Ask for the cancel and print how to go on."""
    from rich.markup import escape

    from ktrdr.cli.render import as_json, console

    answer = client.post(f"/operations/{operation_id}/cancel")
    if json:
        as_json(answer)
        return
    console.print("Cancel requested; the checkpoint is saved first.")
    console.print(f"Go on later: {escape(resume_command)}", soft_wrap=True)  # to be copied whole


def previewed(client: Any, operation_id: str, force: bool, json: bool) -> None:
    """Say what a resume would do; the exit status says whether it could be done."""
    from ktrdr.cli import resumes
    from ktrdr.cli.render import as_json

    plan = client.post(f"/operations/{operation_id}/resume", dry_run=True, force=force)
    as_json(plan) if json else resumes.preview(plan)
    if not plan["can_resume"]:
        raise typer.Exit(1)


def resumed(client: Any, operation_id: str, force: bool, json: bool, watch: bool) -> None:
    """Resume and say from where; nothing when it is followed as JSON, which is one value."""
    from ktrdr.cli import resumes
    from ktrdr.cli.render import as_json

    answer = client.post(f"/operations/{operation_id}/resume", force=force)
    if not json:
        resumes.resumed(_checkpoint(answer["resumed_from"]), answer)
    elif not watch:
        as_json(answer)


def _progress(one: Any) -> str:
    """How far it is, or how many are before it."""
    if one["queue_position"] is not None:
        return f"queue: {one['queue_position']}"
    return f"{one['progress']['percent']:.0f}%"


def _place(found: Any) -> str:
    """The same in a word or two."""
    return str(found["phase"]) if found is not None and found["phase"] is not None else _checkpoint(found)


def _checkpoint(found: Any) -> str:
    if found is None:
        return "-"
    if found["phase"] is not None:
        epoch = "" if found["epoch"] is None else f", training epoch {found['epoch']}"
        return f"{found['phase']}{epoch}"
    if found.get("sessions") is not None:
        return f"{found['sessions']} sessions"
    return f"epoch {found['epoch']}" if found["epoch"] is not None else f"bar {found['bar']}"
