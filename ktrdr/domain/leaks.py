"""What a leak check found: something that moved although only later bars had changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class LeakKind(StrEnum):
    """What moved, from the bars to the account."""

    FEATURE = "feature"
    READING = "reading"
    ROWS = "rows"
    SCALER = "scaler"
    LABEL_EDGE = "label edge"
    INPUT = "training input"
    LABEL = "training label"
    TARGET = "target"
    FILL = "fill"


@dataclass(frozen=True)
class Leak:
    """`name` moved at bar `bar` from `before` to `after`, when only bars that were not known had changed.

    `known` counts the bars of the symbol that stayed as they were: a bar at or after it is only moved
    where something was learnt from it. `bar` is None for what belongs to a fold and to no bar.
    """

    kind: LeakKind
    name: str
    symbol: str
    known: int
    perturbation: str
    bar: int | None = None
    time: int | None = None  # when the bar opens, seconds since 1970-01-01 UTC
    fold: str | None = None
    before: float | None = None  # None: it was not a number
    after: float | None = None
    times: int = 1  # in how many of the comparisons it moved

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LeakReport:
    """What was found, and how much was looked at."""

    leaks: tuple[Leak, ...]
    bars: int
    moments: int
    features: int
    folds: int
    networks: int
    trained: bool  # the networks are those of a training, not ones made for the check
    perturbations: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not self.leaks

    def to_json(self) -> dict[str, Any]:
        whole = {name: value for name, value in asdict(self).items() if name != "leaks"}
        leaks = [one.to_json() for one in self.leaks]
        return {"clean": self.clean, "leaks": leaks, **whole, "perturbations": list(self.perturbations)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LeakReport:
        leaks = tuple(Leak(**{**one, "kind": LeakKind(one["kind"])}) for one in value["leaks"])
        rest = {name: one for name, one in value.items() if name not in ("clean", "leaks", "perturbations")}
        return cls(leaks, perturbations=tuple(value["perturbations"]), **rest)


def gathered(found: Iterable[Leak]) -> tuple[Leak, ...]:
    """One leak for each thing that moved: that of its first bar, with how often it moved at all."""
    kept: dict[tuple[LeakKind, str, str, str | None], Leak] = {}
    for one in found:
        key = (one.kind, one.name, one.symbol, one.fold)
        seen = kept.get(key)
        if seen is None:
            kept[key] = one
            continue
        earlier = one.bar is not None and (seen.bar is None or one.bar < seen.bar)
        kept[key] = replace(one if earlier else seen, times=seen.times + 1)
    order = list(LeakKind)
    return tuple(sorted(kept.values(), key=lambda one: order.index(one.kind)))
