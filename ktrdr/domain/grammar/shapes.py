"""The shapes of fuzzy sets: how many points each takes, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ktrdr.domain.grammar.faults import Fault, choices, fault, nearest
from ktrdr.domain.grammar.indicators import shown

POINTS: Mapping[str, int] = {"triangular": 3, "trapezoidal": 4, "gaussian": 2, "sigmoid": 2}
SHORTHAND = {3: "triangular", 4: "trapezoidal"}


def points_of(value: Any) -> Any:
    """A sound shape as a mapping: a list is short for one."""
    if isinstance(value, list | tuple):
        return {"type": SHORTHAND[len(value)], "parameters": value}
    return value


def membership_faults(path: str, value: Any) -> Iterator[Fault]:
    """A shape with the wrong number of points, or with points out of order."""
    if isinstance(value, list | tuple):
        if len(value) not in SHORTHAND:
            yield fault(path, f"3 points are triangular and 4 trapezoidal; these are {len(value)}")
            return
        yield from _points(path, SHORTHAND[len(value)], value)
        return
    if not isinstance(value, Mapping):
        yield fault(path, f"a label is points or a mapping with type and parameters, not {shown(value)}")
        return
    for key in value.keys() - {"type", "parameters"}:
        allowed = ("type", "parameters")
        yield fault(f"{path}.{key}", f"unknown key '{key}'{nearest(str(key), allowed)}") | choices(
            str(key), allowed
        )
    kind, parameters = value.get("type"), value.get("parameters")
    if not isinstance(kind, str) or kind not in POINTS:
        message = f"unknown shape {shown(kind)}{nearest(str(kind), POINTS)}"
        yield fault(f"{path}.type", message, kind) | choices(str(kind), POINTS)
    elif not isinstance(parameters, list | tuple):
        yield fault(f"{path}.parameters", f"{kind} takes a list of {POINTS[kind]} parameters", parameters)
    elif len(parameters) != POINTS[kind]:
        message = f"{kind} takes {POINTS[kind]} parameters; these are {len(parameters)}"
        yield fault(f"{path}.parameters", message)
    else:
        yield from _points(f"{path}.parameters", kind, parameters)


def is_number(value: Any) -> bool:
    """As lenient as pydantic: a number in quotes is one."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _points(path: str, kind: str, points: Any) -> Iterator[Fault]:
    wrong = [at for at, one in enumerate(points) if not is_number(one)]
    for at in wrong:
        yield fault(f"{path}.{at}", f"a point is a finite number, not {shown(points[at])}", points[at])
    if wrong:
        return
    if kind in ("triangular", "trapezoidal"):
        numbers = [float(one) for one in points]
        if numbers != sorted(numbers) or numbers[0] == numbers[-1]:
            yield fault(path, "the points rise from left to right")
    elif float(points[1]) == 0 or (kind == "gaussian" and float(points[1]) < 0):
        yield fault(path, "the width (sigma, or slope) is not zero, and a sigma is positive")
