"""Follow a session through its phases, or one operation, to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ktrdr.cli.client import Client
from ktrdr.cli.render import console, number, warning_of

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
        phase, said, line, warned = "", time.monotonic(), "", None
        while True:
            status: Status = client.get("/agent/status", session_id=session_id)
            progress = status["progress"] or {"percent": 0.0, "message": ""}
            if status["phase"] != phase:
                phase = status["phase"]
                console.print(f"  {escape(phase)}")
            warning = warning_of(progress)
            if warning != warned:
                warned = warning
                console.print(f"  [yellow]warning[/yellow] {escape(warning or 'is over')}", soft_wrap=True)
            bar.update(
                task, completed=progress["percent"], description=escape(progress["message"]), phase=phase
            )
            if not live and time.monotonic() - said >= LINE_SECONDS and progress["message"] != line:
                said, line = time.monotonic(), progress["message"]
                console.print(f"    {progress['percent']:>3.0f}%  {escape(line)}", soft_wrap=True)
            if status["status"] in ENDED or (until is not None and until(status)):
                return status
            time.sleep(POLL_SECONDS)


def follow_operation(client: Client, operation_id: str, *, console: Console = console) -> Status:
    """Show an operation's progress until it ends; returns it as it is then."""
    columns = (
        TextColumn("  {task.fields[status]:<9}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    bar = Progress(*columns, console=console, auto_refresh=False)
    task = bar.add_task("", total=100.0, status="", left="")
    lines, said = Text(), time.monotonic()
    with Live(Group(bar, lines), console=console, transient=True, auto_refresh=False) as live:
        last = ""
        while True:
            found: Status = client.get(f"/operations/{operation_id}")
            progress, detail = found["progress"], found["progress"]["detail"]
            bar.update(task, completed=progress["percent"], status=found["status"], left=_left(detail))
            lines.plain = "\n".join(_lines(found))
            live.refresh()
            message = progress["message"]
            if not console.is_terminal and time.monotonic() - said >= LINE_SECONDS and message != last:
                said, last = time.monotonic(), message
                text = f"    {progress['percent']:>3.0f}%  {message}  {_left(detail)}"
                console.print(escape(text.rstrip()), soft_wrap=True)
            if found["status"] in ENDED:
                return found
            time.sleep(POLL_SECONDS)


def _left(detail: Mapping[str, Any]) -> str:
    seconds = detail.get("eta_seconds")
    return "" if seconds is None else f"{duration(seconds)} left"


def _lines(found: Status) -> list[str]:
    """Below the bar: where it is, and what the last epoch, or the trading so far, came to."""
    if found["queue_position"] is not None:
        return [f"  waits in the queue: {found['queue_position']}"]
    detail = found["progress"]["detail"]
    if detail.get("profit_ratio") is not None:
        return _bars(detail)
    if detail.get("loss") is None:
        return [f"  {found['progress']['message']}"]
    lines = [
        f"  epoch {detail['epoch']} of {detail['total_epochs']}, {detail['fold']}, member {detail['member']}",
        f"  learning rate {number(detail['learning_rate'], '.3g')}, "
        f"{number(detail['seconds_per_epoch'], '.3g')} s an epoch",
        f"  training    {_scored(detail, '')}",
    ]
    if detail.get("validation_loss") is not None:
        lines.append(f"  validation  {_scored(detail, 'validation_')}")
    if detail.get("warning"):
        lines.append(f"  {detail['warning']}")
    return lines


def _bars(detail: Mapping[str, Any]) -> list[str]:
    """Where a simulation is, and what it has made so far."""
    when = detail["date"][:16].replace("T", " ")
    money = f"profit {detail['profit_ratio']:+.2%}, equity {detail['equity']:,.2f}"
    lines = [
        f"  bar {detail['bar']:,} of {detail['bars']:,}, {when}",
        f"  {money}, {detail['trades']:,} trades",
    ]
    return [*lines, f"  {detail['warning']}"] if detail.get("warning") else lines


def _scored(detail: Mapping[str, Any], kind: str) -> str:
    loss, accuracy = number(detail[f"{kind}loss"], ".4f"), number(detail[f"{kind}accuracy"], ".1%")
    return f"loss {loss}, accuracy {accuracy}"


def duration(seconds: float) -> str:
    """`47 s`, `3:05`, `1:02:09`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}" if minutes else f"{whole} s"
