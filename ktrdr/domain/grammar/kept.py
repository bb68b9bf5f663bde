"""What a strategy keeps and nothing acts on: any value that is not nested too deep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_DEPTH = 30  # as deep as a file goes, by `reading`


def _shallow(value: Any) -> Any:
    """What nothing reads is still written and read again, by code that descends a level a call."""
    level = _nested([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return value
        level = [inner for one in level for inner in _nested(one.values() if isinstance(one, dict) else one)]
    if level:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def _nested(values: Iterable[Any]) -> list[dict[Any, Any] | list[Any]]:
    return [one for one in values if isinstance(one, dict | list)]


Kept = Annotated[Any, AfterValidator(_shallow)]
