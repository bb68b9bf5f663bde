"""`ktrdr research start --sessions` and `ktrdr research campaign`: a series of sessions by rank."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import typer
from rich.markup import escape

from ktrdr.cli.client import Client
from ktrdr.cli.render import as_json, coloured, console, errors, number, pairs, printable, table

POLL_SECONDS = 1.0
LINE_SECONDS = 5.0
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Campaign = Mapping[str, Any]


def begun(client: Client, body: Mapping[str, Any], watch: bool, json: bool) -> None:
    """Start one, and follow it when that was asked for."""
    started = client.post("/agent/campaigns", {k: v for k, v in body.items() if v is not None})
    if json and not watch:
        as_json(started)
        return
    campaign_id = started["operation_id"]
    if not json:
        console.print(f"Campaign {campaign_id} of {started['sessions']} sessions started.")
    if watch:
        watched(client, campaign_id, json)
    else:
        console.print(f"Follow it: ktrdr research campaign {campaign_id} --watch")


def shown(client: Client, campaign_id: str | None, watch: bool, json: bool) -> None:
    """The leaderboard of one campaign, the latest when none is named."""
    known = campaign_id or _latest(client)
    if known is None:
        if json:
            as_json(None)
        else:
            console.print("No campaign yet. Start one: ktrdr research start --sessions 20")
    elif watch:
        watched(client, known, json)
    else:
        _answered(client.get(f"/agent/campaigns/{known}"), json)


def watched(client: Client, campaign_id: str, json: bool) -> None:
    """A line whenever a session begins or ends, then the leaderboard; exit 1 unless it completes."""
    place = errors if json else console
    seen: dict[int, str] = {}
    said, line = time.monotonic(), ""
    while True:
        found = client.get(f"/agent/campaigns/{campaign_id}")
        for one in sorted(found["leaderboard"], key=lambda one: one["number"]):
            if seen.get(one["number"]) != one["status"] and one["status"] != "PENDING":
                seen[one["number"]] = one["status"]
                place.print(f"  {one['number']} of {found['sessions']}, {_said(one)}", soft_wrap=True)
        message = found["progress"]["message"]
        if time.monotonic() - said >= LINE_SECONDS and message != line:
            said, line = time.monotonic(), message
            place.print(f"    {found['progress']['percent']:>3.0f}%  {_text(message)}", soft_wrap=True)
        if found["status"] in ENDED:
            break
        time.sleep(POLL_SECONDS)
    _answered(found, json)
    if found["status"] != "COMPLETED":
        raise typer.Exit(1)


def _answered(found: Campaign, json: bool) -> None:
    as_json(found) if json else leaderboard(found)


def leaderboard(found: Campaign) -> None:
    """Everything about a campaign, for a person."""
    console.print(f"\n[bold]Campaign {escape(found['operation_id'])}[/bold]  {coloured(found['status'])}")
    counts, openings, budget = found["counts"], found["openings"], found["budget"]
    pairs(
        {
            "sessions": ", ".join(
                [f"{counts[name]} {name.replace('_', ' ')}" for name in counts if counts[name]] or ["none"]
            )
            + f" of {found['sessions']}, {found['parallel']} at once",
            "seed": found["seed"],
            "trials": f"{found['trials']} strategies were evaluated on {found['dataset']} so far",
            "holdout": "its data are gone" if openings is None else _openings(openings),
            "budget": _budget(budget),
        }
    )
    console.print()
    table(
        ("RANK", "SESSION", "STATUS", "STRATEGY", "SHARPE", "TRADES", "GATES", "VERDICT"),
        (
            (
                str(one["rank"] or "-"),
                str(one["session_id"]),
                coloured(one["status"]),
                _text(one["strategy"] or "-"),
                number(one["validation_sharpe"], ".2f"),
                str(one["trades"]) if one["trades"] is not None else "-",
                _gates(one["gates"]),
                coloured(one["verdict"]),
            )
            for one in found["leaderboard"]
        ),
        empty="No session has begun yet.",
    )
    for one in found["leaderboard"]:
        if one["error_message"]:
            console.print(
                f"  session {one['session_id']}: [red]{escape(one['error_code'] or '')}[/red] "
                f"{_text(one['error_message'])}",
                soft_wrap=True,
            )
    if len(found["leaderboard"]) > 1:
        console.print(
            "\n  SHARPE is of validation bars: the best of many is flattered by the choice; verdicts are not."
        )
    if found["status"] in ("FAILED", "CANCELLED"):
        console.print(f"\n{coloured(found['status'])}: {_text(found['error_message'] or '')}", soft_wrap=True)
        console.print(f"Go on: ktrdr operations resume {escape(found['operation_id'])}", soft_wrap=True)


def _latest(client: Client) -> str | None:
    found = client.get("/agent/campaigns", limit=1)
    return str(found[0]["operation_id"]) if found else None


def _said(one: Campaign) -> str:
    """What became of a session, in half a line."""
    what = f"session {one['session_id']}: {coloured(one['status'])}"
    if one["status"] == "COMPLETED":
        return f"{what} {coloured(one['verdict'])}, Sharpe {number(one['validation_sharpe'], '.2f')}"
    return f"{what} {_text(one['error_message'])}" if one["error_message"] else what


def _openings(openings: Mapping[str, int]) -> str:
    left = openings["limit"] - openings["used"]
    rest = f"{left} left" if left else "none left: a session that passes its gates is NOT_PROVEN"
    return f"{openings['used']} of {openings['limit']} openings used, {rest}"


def _budget(budget: Mapping[str, Any]) -> str:
    limit = "no limit" if budget["limit_usd"] is None else f"of ${budget['limit_usd']:,.2f}"
    return f"${budget['spent_usd']:,.4f} spent, {limit}"


def _gates(gates: list[Mapping[str, Any]]) -> str:
    if not gates:
        return "-"
    failed = [one["gate"] for one in gates if not one["passed"]]
    return f"[red]{escape(', '.join(failed))} failed[/red]" if failed else "[green]passed[/green]"


def _text(text: str) -> str:
    return escape(printable(str(text)))
