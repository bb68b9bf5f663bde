"""A strategy against the whole grammar: every mistake at once, and the strategy when there is none."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from ktrdr.domain.grammar.consistency import inconsistencies
from ktrdr.domain.grammar.faults import Fault, described, fault
from ktrdr.domain.grammar.parts import WholeStrategy

MAX_FAULTS = 200
VERSION_2 = (
    "This is a version 2 strategy. In version 3 indicators are a mapping from id to definition, "
    "fuzzy sets name their indicator, and nn_inputs lists what the network sees."
)
KEPT = ("scope", "context_data", "deployment")


def is_version_2(config: Mapping[str, Any]) -> bool:
    return str(config.get("version", "")).startswith("2") or isinstance(config.get("indicators"), list)


def check(config: Any) -> tuple[WholeStrategy | None, list[Fault]]:
    """The strategy (None when there are faults) and its faults."""
    if not isinstance(config, Mapping):
        return None, [fault("", f"a strategy is a mapping, not {type(config).__name__}")]
    if is_version_2(config):
        return None, [fault("version", VERSION_2, config.get("version"))]
    strategy: WholeStrategy | None = None
    faults: dict[tuple[str, str], Fault] = {}
    named: set[str] = set()
    try:
        strategy = WholeStrategy.model_validate(config)
    except ValidationError as invalid:
        for error in islice(invalid.errors(), MAX_FAULTS):
            one = _version(described(error, WholeStrategy))
            named.add(one["path"])
            faults[one["path"], one["message"]] = one
    for one in islice(inconsistencies(config), MAX_FAULTS):
        if one["path"] not in named:
            faults[one["path"], one["message"]] = one
    return (None if faults else strategy), list(faults.values())


def warnings_of(strategy: WholeStrategy) -> list[Fault]:
    """What is valid, and probably not what was meant."""
    found = [
        fault(key, f"'{key}' is kept and shown, but nothing acts on it")
        for key in KEPT
        if getattr(strategy, key) is not None
    ]
    used_sets = {one.fuzzy_set for one in strategy.nn_inputs}
    unused = [name for name in strategy.fuzzy_sets if name not in used_sets]
    found += [fault(f"fuzzy_sets.{name}", "no entry of nn_inputs uses this fuzzy set") for name in unused]
    references = [one.indicator for one in strategy.fuzzy_sets.values()]
    references += [one.raw_indicator for one in strategy.nn_inputs if one.raw_indicator is not None]
    used = {reference.partition(".")[0] for reference in references}
    unread = [name for name in strategy.indicators if name not in used]
    return found + [fault(f"indicators.{name}", "nothing reads this indicator") for name in unread]


def _version(one: Fault) -> Fault:
    if one["path"] == "version" and one["found"] == 3:
        return fault("version", 'the version is text: write it in quotes, "3.0"', one["found"])
    return one
