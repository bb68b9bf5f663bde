"""A strategy against the whole grammar: every mistake at once, and the strategy when there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from ktrdr.domain.grammar.consistency import inconsistencies
from ktrdr.domain.grammar.faults import Fault, described, fault
from ktrdr.domain.grammar.parts import Strategy

MAX_FAULTS = 200
VERSION_2 = (
    "This is a version 2 strategy. In version 3 indicators are a mapping from id to definition, "
    "fuzzy sets name their indicator, and nn_inputs lists what the network sees."
)
KEPT = ("scope", "context_data", "deployment")


def is_version_2(config: Mapping[str, Any]) -> bool:
    return str(config.get("version", "")).startswith("2") or isinstance(config.get("indicators"), list)


def check(config: Any) -> tuple[Strategy | None, list[Fault]]:
    """The strategy (None when there are faults) and its faults."""
    if not isinstance(config, Mapping):
        return None, [fault("", f"a strategy is a mapping, not {type(config).__name__}")]
    if is_version_2(config):
        return None, [fault("version", VERSION_2, config.get("version"))]
    strategy: Strategy | None = None
    exact = list(islice(inconsistencies(config), MAX_FAULTS))
    structure: list[Fault] = []
    try:
        strategy = Strategy.model_validate(config)
    except ValidationError as invalid:
        structure = [
            _version(described(error, Strategy))
            for error in islice(_told_once(invalid.errors(), exact), MAX_FAULTS)
        ]
    named = {one["path"] for one in structure}
    faults = structure + [one for one in exact if one["path"] not in named]
    unique = {(one["path"], one["message"]): one for one in faults}
    return (None if unique else strategy), list(unique.values())


def _told_once(errors: Iterable[Any], exact: list[Fault]) -> Iterator[Any]:
    """Without those whose place `exact` tells more of: a part that checks itself as a whole."""
    paths = [one["path"] for one in exact]
    for error in errors:
        place = ".".join(str(part) for part in error["loc"] if part != "labels")
        whole = error["type"] == "value_error"
        if not (whole and any(path.replace(".labels.", ".").startswith(place) for path in paths)):
            yield error


def warnings_of(strategy: Strategy) -> list[Fault]:
    """What is valid, and probably not what was meant."""
    found = [
        fault(key, f"'{key}' is kept and shown, but nothing acts on it")
        for key in KEPT
        if getattr(strategy, key) is not None
    ]
    found += _not_traded(strategy)
    used_sets = {one.fuzzy_set for one in strategy.nn_inputs}
    unused = [name for name in strategy.fuzzy_sets if name not in used_sets]
    found += [fault(f"fuzzy_sets.{name}", "no entry of nn_inputs uses this fuzzy set") for name in unused]
    references = [one.indicator for one in strategy.fuzzy_sets.values()]
    references += [one.raw_indicator for one in strategy.nn_inputs if one.raw_indicator is not None]
    used = {reference.partition(".")[0] for reference in references}
    unread = [name for name in strategy.indicators if name not in used]
    return found + [fault(f"indicators.{name}", "nothing reads this indicator") for name in unread]


def _not_traded(strategy: Strategy) -> list[Fault]:
    """What is written down, and not acted on by a backtest."""
    decisions = strategy.decisions
    found = []
    if decisions.position_awareness is False:
        found.append(fault("decisions.position_awareness", "positions are always kept, never added to"))
    if decisions.output_format == "classification" and decisions.cost_model.min_edge_multiplier is not None:
        found.append(
            fault(
                "decisions.cost_model.min_edge_multiplier",
                "a class has no expected return to compare with costs: only regression acts on it",
            )
        )
    return found


def _version(one: Fault) -> Fault:
    if one["path"] == "version" and one["found"] == 3:
        return fault("version", 'the version is text: write it in quotes, "3.0"', one["found"])
    return one
