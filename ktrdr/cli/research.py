"""`ktrdr research`: sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Start, follow and resume research sessions.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
Session = Annotated[int | None, typer.Argument(help="Session id; the latest when left out.")]


@app.command()
def start(
    brief: Annotated[
        str, typer.Argument(help="What to research, for a language model; the offline designer ignores it.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Same seed, same research.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set; the strategy's own, or the built-in one, when left out.")
    ] = None,
    strategy: Annotated[Path | None, typer.Option(help="A strategy, YAML or JSON; skips the design.")] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, max=1000, help="A campaign: so many sessions, which learn in turn.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, max=64, help="So many sessions of the campaign at once.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, metavar="USD", help="What it may spend on language models.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    json: Json = False,
) -> None:
    """Start a session, or a campaign of them."""
    from ktrdr.cli import campaigns
    from ktrdr.cli.client import Client
    from ktrdr.cli.strategies import strategy_of

    if sessions is None and parallel is not None:
        raise typer.BadParameter("it is of a campaign: say how many --sessions", param_hint="--parallel")
    body: dict[str, Any] = {
        "trigger_reason": "start_new_cycle",
        "dataset": dataset,
        "brief": brief,
        "seed": seed,
        "budget_usd": budget,
    }
    client = Client()
    if strategy is not None:
        body["strategy"] = strategy_of(client, strategy)
    if sessions is not None:
        del body["trigger_reason"]
        body |= {"sessions": sessions, "parallel": parallel}
        campaigns.begun(client, body, watch, json)
        return
    _begun(client, client.post("/agent/trigger", body), watch, json)


@app.command()
def campaign(
    campaign_id: Annotated[str | None, typer.Argument(help="Campaign id; the latest when left out.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    json: Json = False,
) -> None:
    """Show a campaign's sessions by rank, and how often its data were looked at."""
    from ktrdr.cli import campaigns
    from ktrdr.cli.client import Client

    campaigns.shown(Client(), campaign_id, watch, json)


@app.command()
def fork(
    session_id: Annotated[int, typer.Argument(metavar="SESSION", help="Session to fork; it stays as it is.")],
    phase: Annotated[
        str,
        typer.Option("--from", help="Phase to begin with: DESIGNING, TRAINING, BACKTESTING or ASSESSING."),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="seed, brief or strategy.<path>; again for each."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    json: Json = False,
) -> None:
    """Start a session from the finished phases of another, with other settings from there on."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.forks import settings_of

    client = Client()
    body = {"from_phase": phase.upper(), "set": settings_of(changes or [])}
    _begun(client, client.post(f"/agent/sessions/{session_id}/fork", body), watch, json)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20, json: Json = False
) -> None:
    """Sessions, newest first, with their verdicts and where they come from."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.forks import lineage
    from ktrdr.cli.render import as_json, coloured, table

    found = Client().get("/agent/sessions", limit=limit)
    if json:
        as_json(found)
        return
    table(
        ("SESSION", "STATUS", "PHASE", "STRATEGY", "VERDICT", "LINEAGE"),
        (
            (
                str(one["session_id"]),
                coloured(one["status"]),
                one["phase"],
                escape((one["strategy_config"] or {}).get("name", "-")),
                coloured((one["assessment"] or {}).get("verdict")),
                escape("\n".join(lineage(one))),
            )
            for one in found
        ),
        empty="No session yet. Start one: ktrdr research start",
    )


@app.command()
def memory(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many of each.")] = 20, json: Json = False
) -> None:
    """Experiments with their lessons, and hypotheses; what the next design is told of."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.memory import memory
    from ktrdr.cli.render import as_json

    found = Client().get("/agent/memory", limit=limit)
    as_json(found) if json else memory(found)


@app.command()
def status(session_id: Session = None, json: Json = False) -> None:
    """Show where a session is and what it found."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, coloured, console, session, warning_of
    from ktrdr.cli.resumes import stuck

    client = Client()
    found = client.get("/agent/status", session_id=session_id)
    if found["session_id"] is None:
        as_json(found) if json else console.print("No session yet. Start one: ktrdr research start")
        return
    whole = client.get(f"/agent/sessions/{found['session_id']}")
    if json:
        as_json(whole)
        return
    session(whole)
    console.print(f"\n  operation {found['operation_id']}  {coloured(found['status'])}")
    spent = found.get("spend", {}).get("usd", 0.0)
    if spent > 0:
        console.print(f"  spent on the language model  ${spent:.4f}")
    warning = warning_of(found["progress"])
    if warning is not None:
        console.print(f"  [yellow]warning[/yellow] {escape(warning)}", soft_wrap=True)
    if found["status"] in ("FAILED", "CANCELLED"):
        _stopped(found)
        stuck(client.get(f"/operations/{found['operation_id']}").get("stuck"))


@app.command()
def watch(session_id: Session = None, json: Json = False) -> None:
    """Follow a session to its end."""
    from ktrdr.cli.client import Client

    client = Client()
    _watch(client, _known(client, session_id)["session_id"], json)


@app.command()
def cancel(session_id: Session = None, json: Json = False) -> None:
    """Save a session's checkpoint and stop it."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.operations import cancelled

    client = Client()
    found = _known(client, session_id)
    cancelled(client, found["operation_id"], f"ktrdr research resume {found['session_id']}", json)


@app.command()
def resume(
    session_id: Session = None,
    force: Annotated[bool, typer.Option("--force", help="Go on although the inputs changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would reuse and do anew.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    json: Json = False,
) -> None:
    """Go on from a session's checkpoint."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.operations import previewed, resumed

    client = Client()
    found = _known(client, session_id)
    if dry_run:
        previewed(client, found["operation_id"], force, json)
        return
    resumed(client, found["operation_id"], force, json, watch)
    if watch:
        _watch(client, found["session_id"], json)


def _begun(client: Any, started: Any, watch: bool, json: bool) -> None:
    """Say what was started, or follow it."""
    from rich.markup import escape

    from ktrdr.cli.forks import lineage
    from ktrdr.cli.render import as_json, console

    if json and not watch:
        as_json(started)
        return
    if not json:
        console.print(f"Session {started['session_id']} started ({started['operation_id']}).")
        for line in lineage(started):
            console.print(f"  {escape(line)}", soft_wrap=True)
    if watch:
        _watch(client, started["session_id"], json)
    else:
        console.print(f"Follow it: ktrdr research watch {started['session_id']}")


def _known(client: Any, session_id: int | None) -> Any:
    found = client.get("/agent/status", session_id=session_id)
    if found["session_id"] is None:
        raise typer.BadParameter("there is no session yet; start one: ktrdr research start")
    return found


def _watch(client: Any, session_id: int, json: bool) -> None:
    """Progress goes to stderr under --json, so that stdout holds the session alone."""
    from ktrdr.cli.render import as_json, console, errors, session
    from ktrdr.cli.watch import follow

    ended = follow(client, session_id, console=errors if json else console)
    done = ended["status"] == "COMPLETED"
    if json:
        as_json(client.get(f"/agent/sessions/{session_id}"))
    elif done:
        session(client.get(f"/agent/sessions/{session_id}"))
    else:
        _stopped(ended)
    if not done:
        raise typer.Exit(1)


def _stopped(found: Any) -> None:
    from rich.markup import escape

    from ktrdr.cli.render import coloured, console

    console.print(f"{coloured(found['status'])}: {escape(found['error_message'] or '')}")
    console.print(f"Go on: ktrdr research resume {found['session_id']}")
