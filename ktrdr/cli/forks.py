"""`ktrdr research fork`: settings by their dotted names, and where a session comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import typer


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` each; a value is JSON, else text, so that `200`, `1e-3`, `[32, 16]` and `gru` are all
    what they look like."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise typer.BadParameter(f"'{word}' is not key=value", param_hint="--set")
        if name in found:
            raise typer.BadParameter(f"'{name}' is set twice", param_hint="--set")
        found[name] = _value(text.strip())
    return found


def lineage(session: Mapping[str, Any]) -> list[str]:
    """`forked from session 3 at TRAINING (strategy.training.epochs: 60 → 200)`, and what was forked from
    it; nothing of a session that has no relations."""
    found = []
    origin = session.get("forked_from")
    if origin is not None:
        found.append(f"forked from session {origin['session_id']} at {origin['phase']} ({_changes(origin)})")
    if session.get("forks"):
        found.append(f"forked into session {', '.join(str(one) for one in session['forks'])}")
    return found


def _changes(origin: Mapping[str, Any]) -> str:
    named = [
        f"{name}: {_shown(one['from'])} → {_shown(one['to'])}" for name, one in origin["changes"].items()
    ]
    return ", ".join(named) or "nothing changed"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)
