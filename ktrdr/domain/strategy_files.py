"""A strategy file as a whole: what it says, what is wrong with it, and what this version does not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ktrdr.domain.grammar.checking import MAX_FAULTS, check, warnings_of
from ktrdr.domain.grammar.faults import Fault, uncovered
from ktrdr.domain.grammar.reading import line_of, read_strategy
from ktrdr.domain.strategies import LATER, refusals


@dataclass(frozen=True)
class StrategyReport:
    """`errors`: not valid; `not_yet`: valid, but refused when it is run; both in the file's order."""

    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()
    not_yet: tuple[Fault, ...] = ()
    name: str | None = None
    features: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def valid(self) -> bool:
        return not self.errors


def report_on_text(text: str) -> StrategyReport:
    """A file's text, YAML or JSON."""
    reading = read_strategy(text)
    if reading.value is None and reading.errors:
        return StrategyReport(reading.errors)
    return report_on(reading.value, reading.lines, reading.errors)


def report_on(
    config: Any, lines: Mapping[str, int] | None = None, unreadable: tuple[Fault, ...] = ()
) -> StrategyReport:
    """A strategy that was read already; without lines where it has none."""
    lines = lines or {}
    strategy, errors = check(config)
    errors = [*unreadable, *errors]
    whole = config if isinstance(config, Mapping) else None
    waiting: list[Fault] = []
    told_all = len(errors) < MAX_FAULTS and not any(one["path"] == "version" for one in errors)
    if whole is not None and told_all:
        waiting = [_as_waiting(one) for one in uncovered(refusals(whole), errors)]
    name = (whole or {}).get("name")
    return StrategyReport(
        errors=_in_order(errors, lines),
        warnings=_in_order([] if strategy is None else warnings_of(strategy), lines),
        not_yet=_in_order(waiting, lines),
        name=name if isinstance(name, str) else None,
        features=() if strategy is None else strategy.features(),
        config=whole,
    )


def _as_waiting(one: Fault) -> Fault:
    message = str(one["message"])
    return one if LATER in message else one | {"message": f"this version does not run it: {message}"}


def _in_order(faults: list[Fault], lines: Mapping[str, int]) -> tuple[Fault, ...]:
    placed = [{"line": line_of(lines, one["path"])} | one for one in faults]
    return tuple(sorted(placed, key=lambda one: one["line"] or 0))
