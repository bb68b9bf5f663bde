"""How answers look in a terminal. Text from the backend is escaped: a model may have written it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ktrdr.cli.forks import lineage

THREE_CLASSES = 1.0 / 3.0  # down, flat, up
SIGNS = (("+", "strengths"), ("-", "weaknesses"), ("?", "hypotheses"), (">", "next_suggestions"))
COLOURS = {
    "COMPLETED": "green",
    "RUNNING": "cyan",
    "PENDING": "yellow",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "ESTABLISHED": "green",
    "REJECTED": "red",
    "NOT_PROVEN": "yellow",
    "VOID": "red",
    "SUPPORTED": "green",
    "REFUTED": "red",
    "OPEN": "yellow",
}


def as_json(value: Any) -> None:
    """Exactly what the API said, for other programs."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    print("".join(one if one == "\n" or one.isprintable() else json.dumps(one)[1:-1] for one in text))


def printable(text: str) -> str:
    """Text without the control characters that would move a terminal's cursor or change its title."""
    return "".join(one for one in text if one in "\n\t" or one.isprintable())


class PlainConsole(Console):
    """Shows no control character of any text that it is given: whoever wrote it, it stays text."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


console = PlainConsole(highlight=False)
errors = PlainConsole(stderr=True, highlight=False)


def coloured(word: str | None) -> str:
    colour = COLOURS.get(word or "", "white")
    return f"[{colour}]{escape(word or '-')}[/{colour}]"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, figures: bool = False
) -> None:
    """A plain table, or one sentence when there is nothing to show. `figures`: all but the first column
    are numbers."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    found = list(rows)
    # The first column is what a person copies into the next command: it is never cut.
    width = max((len(row[0]) for row in found), default=0)
    for name in columns:
        right = figures and name != columns[0]
        drawn.add_column(
            name, min_width=width if name == columns[0] else None, justify="right" if right else "left"
        )
    for row in found:
        drawn.add_row(*row)
    console.print(drawn if found else empty)


def pairs(values: Mapping[str, Any]) -> None:
    """Names and values, one a line."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        shown = escape(str(value)) if value is not None else "-"
        console.print(f"  {name:<{width}}  {shown}", soft_wrap=True)  # a path is to be copied whole


def warning_of(progress: Mapping[str, Any] | None) -> str | None:
    """What is wrong with a run that goes on, such as a disk that takes no checkpoint."""
    found = ((progress or {}).get("detail") or {}).get("warning")
    return None if found is None else printable(str(found))


def number(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"


def session(data: Mapping[str, Any]) -> None:
    """Everything a finished session found, for a person."""
    training = (data["training_result"] or {}).get("metrics", {})
    console.print(
        f"\n[bold]Session {data['session_id']}[/bold]  {coloured(data['phase'])}  seed {data['seed']}"
    )
    for line in lineage(data):
        console.print(f"  {escape(line)}", soft_wrap=True)
    if data["strategy_config"]:
        config = data["strategy_config"]
        console.print(f"\n[bold]Strategy[/bold] {escape(config['name'])}")
        for one in (data["research_notes"] or "").splitlines():
            console.print(f"  {escape(one)}")
        kinds = ", ".join(f"{name} ({one['type']})" for name, one in config["indicators"].items())
        console.print(f"  indicators: {escape(kinds)}")
    if training:
        console.print("\n[bold]Training[/bold] (on rows no network of the fold had seen)")
        console.print(
            f"  {training['networks']} networks, {training['epochs']} epochs, balanced accuracy "
            f"{number(training['balanced_accuracy'], '.1%')} ({_by_chance(training)}), "
            f"direction {number(training.get('directional_accuracy'), '.1%')} (50% by chance)"
        )
    backtest("Validation, out of fold", data["backtest_result"])
    backtest("Sealed holdout", data["holdout_result"])
    assessment(data["assessment"])
    if data["result_fingerprint"]:
        console.print(f"\n  fingerprint {data['result_fingerprint']}")


def _by_chance(training: Mapping[str, Any]) -> str:
    chance = training.get("chance", THREE_CLASSES)
    return f"{chance:.1%} by chance" + (", mostly flat against moving" if chance == THREE_CLASSES else "")


def backtest(title: str, result: Mapping[str, Any] | None) -> None:
    if result is None:
        return
    found = result["metrics"]
    console.print(f"\n[bold]{title}[/bold] ({result['bars']} daily bars, after costs)")
    console.print(
        f"  return {number(found['total_return'], '+.1%')} (buy and hold "
        f"{number(found['buy_and_hold_return'], '+.1%')}), Sharpe {number(found['sharpe'], '.2f')}, "
        f"max drawdown {number(found['max_drawdown'], '.1%')}, {found['trades']} trades"
    )


def assessment(found: Mapping[str, Any] | None) -> None:
    if found is None:
        return
    console.print(f"\n[bold]Verdict[/bold] {coloured(found['verdict'])}")
    console.print(f"  {escape(found['summary'])}")
    if found["opening"] is not None:
        console.print(
            f"  opening {found['opening']} of this holdout: p = {number(found['p_value'], '.4f')}, "
            f"level {number(found['level'], '.4f')}"
        )
    for sign, name in SIGNS:
        for one in found.get(name, []):
            console.print(f"  {sign} {escape(one)}")
    if "lesson" in found:  # a language model's, as all that follows the rule's own sentences
        console.print(f"  lesson: {escape(found['lesson'])}")
        console.print(f"  assessed by {escape(found['assessor'])}, who holds it {escape(found['opinion'])}")
