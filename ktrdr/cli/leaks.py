"""What `ktrdr strategies leak-check` says of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import typer

SECONDS_OF_A_DAY = 86_400


def shown(name: str, found: Mapping[str, Any]) -> None:
    """One line a leak, or one that says how much was looked at."""
    from ktrdr.cli.render import printable

    for one in found["leaks"]:
        typer.echo(printable(f"{name}: leak: {'; '.join(_said(one))}"))
    networks = "of the training" if found["trained"] else "made for the check"
    looked = (
        f"{found['bars']:,} bars, {found['features']} features, {found['folds']} folds, "
        f"{found['networks']} networks {networks}; everything later was changed at {found['moments']} bars "
        f"and at each fold's ends, in {len(found['perturbations'])} ways"
    )
    verdict = "no leak" if found["clean"] else f"{len(found['leaks'])} leaks"
    typer.echo(f"{name}: {verdict}. {looked}.")


def _said(leak: Mapping[str, Any]) -> Iterator[str]:
    what = f"{leak['kind']} {leak['name']} ({leak['symbol']})"
    if leak["fold"] is not None:
        what += f" of {leak['fold']}"
    where = "" if leak["bar"] is None else f" at bar {leak['bar']}"
    if leak["time"] is not None:
        where += f" ({_moment(leak['time'])})"
    yield f"{what} moved{where} from {_number(leak['before'])} to {_number(leak['after'])}"
    yield f"only bars from {leak['known']} on were changed ({leak['perturbation']})"
    yield f"it moved in {leak['times']} comparisons"


def _moment(seconds: int) -> str:
    opens = datetime.fromtimestamp(seconds, UTC)
    return opens.strftime("%Y-%m-%d" if seconds % SECONDS_OF_A_DAY == 0 else "%Y-%m-%d %H:%M UTC")


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:.6g}"
