"""How a resume looks in a terminal: what it would do, what it did, and when resuming gets nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def preview(plan: Mapping[str, Any]) -> None:
    """What a resume would reuse and do anew, or why it can't be done and what to do instead."""
    from rich.markup import escape

    from ktrdr.cli.render import coloured, console

    operation_id = escape(plan["operation_id"])
    verdict = "can be resumed" if plan["can_resume"] else "[bold]can't be resumed[/bold]"
    console.print(f"{operation_id} is {coloured(plan['status'])} and {verdict}.", soft_wrap=True)
    if plan["obstacle"] is not None:
        _obstacle(plan["obstacle"])
    shown = plan["resumed_from"]
    _lines(
        ("checkpoint", [] if shown is None else [_checkpoint(shown, plan["checkpoint_age_seconds"])]),
        ("reuses", [f"{one['part']}: {one['what']}" for one in plan["reused"]]),
        ("child", [f"{one['operation_id']} ({one['status']}): {one['what']}" for one in plan["children"]]),
        ("redoes", plan["redone"] or (["nothing"] if plan["can_resume"] else [])),
        ("forced over", _differences(plan["forced_over"] or {})),
    )
    stuck(plan["stuck"])
    if plan["can_resume"]:
        force = " --force" if plan["forced_over"] else ""
        console.print(f"\nGo on: ktrdr operations resume {operation_id}{force}", soft_wrap=True)
    elif plan["obstacle"]["code"] == "CHECKPOINT_INCOMPATIBLE":
        console.print(f"\nRegardless: ktrdr operations resume {operation_id} --force", soft_wrap=True)


def resumed(where: str, answer: Mapping[str, Any]) -> None:
    """From where it goes on; what was forced and what got nowhere before."""
    from ktrdr.cli.render import console

    console.print(f"Resumed from {where}.")
    if answer.get("forced_over"):
        _lines(("forced over", _differences(answer["forced_over"])))
    stuck(answer.get("stuck"))


def stuck(found: Mapping[str, Any] | None) -> None:
    """The error of each attempt that got no further, and what to do."""
    if not found:
        return
    from rich.markup import escape

    from ktrdr.cli.render import console

    console.print(f"\n[red]{escape(found['message'])}[/red]")
    _lines(
        *(
            (f"attempt {one['attempt']}", [f"{one['code']}: {one['message']} ({_time(one['at'])})"])
            for one in found["errors"]
        )
    )


def counted(resumes: Sequence[Mapping[str, Any]]) -> str:
    """How many resumes there were, and which were not a person's or were forced."""
    automatic = sum(one["automatic"] for one in resumes)
    forced = [one for one in resumes if one["forced"]]
    over = sorted({name for one in forced for name in one["forced_over"] or ()})
    parts = [f"{automatic} automatic"] if automatic else []
    if forced:
        parts.append(f"{len(forced)} forced{' over another ' if over else ''}{', '.join(over)}")
    return str(len(resumes)) + (f" ({'; '.join(parts)})" if parts else "")


def age(seconds: float) -> str:
    """A time in its largest unit: 3 minutes."""
    unit, size = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    count = int(seconds // size)
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _checkpoint(found: Mapping[str, Any], seconds: float) -> str:
    at = found["phase"]
    if at is None:
        at = f"epoch {found['epoch']}" if found["epoch"] is not None else f"bar {found['bar']}"
    return f"{at}, {found['checkpoint_type'].replace('_', ' ')} {found['sequence']}, {age(seconds)} old"


def _obstacle(found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from ktrdr.cli.render import console

    console.print(f"[red]{escape(found['code'])}[/red] {escape(found['message'])}")
    difference = found["details"].get("difference")
    if isinstance(difference, Mapping):
        _lines(("differs", _differences(difference)))


def _differences(difference: Mapping[str, Any]) -> list[str]:
    """One line for what is other than it was; hashes are cut, they are only told apart."""
    return [
        f"{name}: {_short(one['checkpoint'])} in the checkpoint, {_short(one['now'])} now"
        if isinstance(one, Mapping) and one.keys() >= {"checkpoint", "now"}
        else f"{name}: {one}"
        for name, one in difference.items()
    ]


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _time(iso: str | None) -> str:
    return "at an unknown time" if iso is None else iso[:19].replace("T", " ")


def _lines(*named: tuple[str, Sequence[str]]) -> None:
    """Each name with its lines beside it, under an empty line; long lines stay in their column."""
    from rich.markup import escape
    from rich.table import Table

    from ktrdr.cli.render import console

    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, lines in named:
        for number, line in enumerate(lines):
            drawn.add_row(f"  {name}" if number == 0 else "", escape(line))
    if drawn.row_count:
        console.print()
        console.print(drawn)
