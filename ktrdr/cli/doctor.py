"""`ktrdr doctor`: what is configured and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(json: Annotated[bool, typer.Option("--json", help="Print what the API said.")] = False) -> None:
    """What the backend has and what it misses to run sessions; exit status 1 when something is missing."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console

    found = Client().get("/doctor")
    if json:
        as_json(found)
    else:
        for one in found:
            mark = "[green]ok[/green]     " if one["state"] == "ok" else "[red]missing[/red]"
            console.print(f"{mark}  {escape(one['name'])}: {escape(one['message'])}", soft_wrap=True)
    if any(one["state"] != "ok" for one in found):
        raise typer.Exit(1)
