"""One mistake in a strategy: its path, what was found, what is allowed, and the closest valid name."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel

Fault = dict[str, Any]


MAX_TEXT = 500
MAX_NAMES = 200


def fault(path: str, message: str, found: Any = None) -> Fault:
    return {"path": path, "message": message[:MAX_TEXT], "found": found if _is_plain(found) else None}


def unknown(path: str, what: str, found: str, allowed: Collection[str]) -> Fault:
    """A name that leads nowhere."""
    message = f"there is no {what} '{found}'{nearest(found, allowed)}"
    return fault(path, message, found) | choices(found, allowed)


def choices(word: str, allowed: Collection[str]) -> dict[str, Any]:
    names = [str(one) for one in islice(allowed, MAX_NAMES)]
    close = difflib.get_close_matches(word[:100], names, n=1)
    return {"allowed": names} | ({"closest": close[0]} if close else {})


def nearest(word: str, allowed: Collection[str]) -> str:
    """The end of a sentence about `word`: the closest valid name, else all of them."""
    known = choices(word, allowed)
    close, names = known.get("closest"), ", ".join(known["allowed"]) or "none are defined"
    return f"; did you mean '{close}'?" if close else f"; allowed: {names}"


def described(error: Any, root: type[BaseModel]) -> Fault:
    """One error of pydantic in the grammar's words."""
    loc, found, kind = error["loc"], error.get("input"), error["type"]
    path = ".".join(str(part) for part in loc if part != "[key]")
    if kind == "extra_forbidden":
        key, allowed = str(loc[-1]), names_of(model_at(root, loc[:-1]))
        return fault(path, f"unknown key '{key}'{nearest(key, allowed)}") | choices(key, allowed)
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"]) or [error["ctx"]["expected"]]
        return fault(path, f"'{found}' is not known here{nearest(str(found), allowed)}", found) | choices(
            str(found), allowed
        )
    if kind == "missing":
        return fault(path, f"'{loc[-1]}' is missing")
    return fault(path, str(error["msg"]).removeprefix("Value error, "), found)


def names_of(model: type[BaseModel]) -> list[str]:
    """The keys that a part of the grammar takes, aliases last."""
    aliases = [
        str(alias)
        for field in model.model_fields.values()
        for alias in getattr(field.validation_alias, "choices", ())
    ]
    return list(dict.fromkeys([*model.model_fields, *aliases]))


def model_at(root: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    """The part of the grammar that a path leads into; ids and positions lead nowhere else."""
    model = root
    for part in loc:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        model = (_part_in(field.annotation) or model) if field is not None else model
    return model


def _part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for part in map(_part_in, get_args(annotation)) if part is not None), None)


def _is_plain(found: Any) -> bool:
    if isinstance(found, str):
        return len(found) <= MAX_TEXT
    return isinstance(found, int | bool) or (isinstance(found, float) and math.isfinite(found))
