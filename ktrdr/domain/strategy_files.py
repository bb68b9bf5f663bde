"""A strategy file as a whole: what it says and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ktrdr.domain.grammar.checking import check, warnings_of
from ktrdr.domain.grammar.faults import Fault
from ktrdr.domain.grammar.reading import line_of, read_strategy
from ktrdr.domain.strategies import Strategy, invalid_strategy, parse_strategy


@dataclass(frozen=True)
class StrategyReport:
    """What is not valid, and what is valid and not acted on; both in the file's order."""

    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()
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


def strategy_of(config: Mapping[str, Any] | None, text: str | None) -> Strategy:
    """The strategy of a mapping, or of a file's text.

    Raises InvalidInput with every error; those of a text have lines.
    """
    if text is None:
        return parse_strategy(config or {})
    report = report_on_text(text)
    if report.errors:
        raise invalid_strategy(report.errors)
    return parse_strategy(report.config or {})


def report_on(
    config: Any, lines: Mapping[str, int] | None = None, unreadable: tuple[Fault, ...] = ()
) -> StrategyReport:
    """A strategy that was read already; without lines where it has none."""
    lines = lines or {}
    strategy, errors = check(config)
    errors = [*unreadable, *errors]
    whole = config if isinstance(config, Mapping) else None
    name = (whole or {}).get("name")
    return StrategyReport(
        errors=_in_order(errors, lines),
        warnings=_in_order([] if strategy is None else warnings_of(strategy), lines),
        name=name if isinstance(name, str) else None,
        features=() if strategy is None else strategy.features(),
        config=whole,
    )


def _in_order(faults: list[Fault], lines: Mapping[str, int]) -> tuple[Fault, ...]:
    placed = [{"line": line_of(lines, one["path"])} | one for one in faults]
    return tuple(sorted(placed, key=lambda one: one["line"] or 0))
