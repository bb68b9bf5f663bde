"""`ktrdr research budget`: what the language model may cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def budget(
    day: Annotated[float | None, typer.Option(min=0, metavar="USD", help="Set the day's budget.")] = None,
    session: Annotated[int | None, typer.Option(min=1, metavar="ID", help="A session's budget.")] = None,
    campaign: Annotated[str | None, typer.Option(metavar="ID", help="A campaign's budget.")] = None,
    set_: Annotated[
        float | None, typer.Option("--set", min=0, metavar="USD", help="Set that session's or campaign's.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the API said.")] = False,
) -> None:
    """Show what may be spent and what was, or set it; it counts from the next request on."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, table

    if session is not None and campaign is not None:
        raise typer.BadParameter("name a session or a campaign, not both")
    if set_ is not None and session is None and campaign is None:
        raise typer.BadParameter("--set needs --session ID or --campaign ID; the day's is --day USD")
    client = Client()
    whose: dict[str, Any] = {"session_id": session, "campaign_id": campaign}
    if day is not None:
        client.put("/agent/budget", {"limit_usd": day})
    if set_ is not None:
        client.put("/agent/budget", {"limit_usd": set_, **whose})
    found = client.get("/agent/budget", **whose)
    if json:
        as_json(found)
        return
    names = {"day": "day (UTC)", "session": f"session {session}", "campaign": f"campaign {campaign}"}
    rows = [_row(names[one], found[one]) for one in names if found.get(one) is not None]
    table(("BUDGET", "LIMIT", "SPENT", "LEFT"), rows, empty="", figures=True)


def _row(name: str, one: Any) -> tuple[str, str, str, str]:
    return name, f"${one['limit_usd']:.2f}", f"${one['spent_usd']:.4f}", f"${one['left_usd']:.4f}"
