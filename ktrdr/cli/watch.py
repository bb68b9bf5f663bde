"""Follow a session through its phases, one bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ktrdr.cli.client import Client
from ktrdr.cli.render import console

POLL_SECONDS = 0.4
LINE_SECONDS = 3.0  # between lines where no bar can move: a pipe, a log
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Status = Mapping[str, Any]


def follow(
    client: Client,
    session_id: int,
    *,
    until: Callable[[Status], bool] | None = None,
    console: Console = console,
) -> Status:
    """Show progress until the session ends, or until `until` says so; returns the last status."""
    columns = (
        TextColumn("[bold]{task.fields[phase]:<11}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as bar:
        task = bar.add_task("", total=100.0, phase="")
        phase, said, line = "", time.monotonic(), ""
        while True:
            status: Status = client.get("/agent/status", session_id=session_id)
            progress = status["progress"] or {"percent": 0.0, "message": ""}
            if status["phase"] != phase:
                phase = status["phase"]
                console.print(f"  {escape(phase)}")
            bar.update(
                task, completed=progress["percent"], description=escape(progress["message"]), phase=phase
            )
            if not live and time.monotonic() - said >= LINE_SECONDS and progress["message"] != line:
                said, line = time.monotonic(), progress["message"]
                console.print(f"    {progress['percent']:>3.0f}%  {escape(line)}", soft_wrap=True)
            if status["status"] in ENDED or (until is not None and until(status)):
                return status
            time.sleep(POLL_SECONDS)
