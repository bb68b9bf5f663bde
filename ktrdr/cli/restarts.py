"""`ktrdr restarts`: what the backend found when it started."""

from __future__ import annotations

from typing import Annotated

import typer


def restarts(
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many starts.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print what the API said.")] = False,
) -> None:
    """What was found at each start: failed, left running, re-submitted, resumable; newest first."""
    from datetime import datetime

    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, console

    found = Client().get("/restarts", limit=last)
    if json:
        as_json(found)
        return
    for one in found:
        at = datetime.fromisoformat(one["started_at"]).astimezone()
        console.print(
            f"{at:%Y-%m-%d %H:%M:%S}  {escape(one['instance'])}  {escape(one['summary'])}", soft_wrap=True
        )
    if found and found[0]["resumable"]:
        console.print("\nWhat can be resumed: ktrdr operations list --resumable")
