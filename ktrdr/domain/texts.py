"""Text that a stranger wrote: what it may hold before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from unicodedata import category

MAX_DEPTH = 32  # as of a strategy's file


def printable(text: str) -> str:
    """Without what moves a terminal's cursor, turns the reading direction, or fits no database."""
    return "".join(one for one in text if one in "\n\t" or one.isprintable() or category(one) == "Zs")


def first_words(text: str, length: int) -> str:
    """A text that was cut says so."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def not_plain(value: Any) -> Iterator[tuple[str, str]]:
    """(path, why) of what a mapping from a stranger may not hold: levels without end, and characters that
    nobody can see. A mapping that is too deep is not looked at any further."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            yield "", f"it is nested more than {MAX_DEPTH} levels deep"
            return
        if isinstance(one, str) and printable(one) != one:
            yield path, "it has characters that can't be shown"
        if isinstance(one, Mapping):
            for name in one:
                if printable(str(name)) != str(name):
                    yield path, "one of its keys has characters that can't be shown"
            waiting += [
                (f"{path}.{name}" if path else str(name), part, depth + 1) for name, part in one.items()
            ]
        elif isinstance(one, list | tuple):
            waiting += [(f"{path}.{at}" if path else str(at), part, depth + 1) for at, part in enumerate(one)]
