"""What a fork may change of a session, and up to which phase each setting is read. Pure."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.fingerprints import finite
from ktrdr.domain.grammar.faults import Fault, fault
from ktrdr.domain.sessions import AgentSession, Phase
from ktrdr.domain.strategies import is_learnt, parse_strategy

STRATEGY = "strategy."
MAX_SEED = 2**31
MAX_BRIEF = 4000
MAX_DEPTH = 32  # as of a strategy's file
ORDER = tuple(Phase)


@dataclass(frozen=True)
class Settings:
    """What a session was asked for, and the strategy it came to (None while it has none)."""

    seed: int
    brief: str
    strategy: Mapping[str, Any] | None


def settings_of(session: AgentSession) -> Settings:
    return Settings(session.seed, session.brief, session.strategy_config)


def changed(
    origin: Settings, wanted: Mapping[str, Any], phase: Phase
) -> tuple[Settings, dict[str, dict[str, Any]]]:
    """The settings with what is wanted, and what that changed: by name, each with `from` and `to`.

    Raises InvalidInput naming every setting that is not known or not valid, or that was read by a phase
    before `phase`, whose result is reused. What is set to the value it has changes nothing.
    """
    _refuse(_faults(origin, wanted))
    config: Any = copy.deepcopy(origin.strategy)
    _refuse(_set_all(config, wanted))
    strategy = origin.strategy
    if any(name.startswith(STRATEGY) for name in wanted):
        strategy = _validated(config)
    settings = Settings(wanted.get("seed", origin.seed), wanted.get("brief", origin.brief), strategy)
    changes = _difference(origin, settings)
    _refuse([fault(name, why) for name in changes if (why := _read_before(name, phase))])
    return settings, changes


def _read_before(name: str, phase: Phase) -> str | None:
    """Why a fork from `phase` can't change a setting; None when it can."""
    if name.startswith(STRATEGY) and phase is Phase.DESIGNING:
        return "DESIGNING decides the strategy anew; fork from TRAINING to change it"
    if name == "brief":
        last = Phase.DESIGNING
    elif name == "seed" or is_learnt(name.removeprefix(STRATEGY)):
        last = Phase.TRAINING
    else:
        last = Phase.BACKTESTING
    if ORDER.index(phase) <= ORDER.index(last):
        return None
    return f"{last} reads it, and its result is reused; fork from {last} to change it"


def _faults(origin: Settings, wanted: Mapping[str, Any]) -> Iterator[Fault]:
    """What can be said of names and values before the strategy is looked into."""
    deep = [name for name, one in wanted.items() if name.count(".") > MAX_DEPTH or _is_deep(one)]
    if deep:
        yield from (fault(name[:100], f"more than {MAX_DEPTH} levels") for name in deep)
        return
    if finite(wanted) != wanted:
        yield fault("set", "a number is not finite")
    for name, value in wanted.items():
        if name.startswith(STRATEGY):
            if origin.strategy is None:
                yield fault(name, "the session has no strategy yet")
        elif name == "seed":
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_SEED:
                yield fault(name, f"a seed is a whole number from 0 to {MAX_SEED - 1}", value)
        elif name == "brief":
            if not isinstance(value, str) or len(value) > MAX_BRIEF:
                yield fault(name, f"a brief is a text of at most {MAX_BRIEF} characters")
        else:
            yield _unknown(name, origin.strategy)


def _is_deep(value: Any) -> bool:
    """Level by level: what is too deep can't be walked by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below = [one.values() if isinstance(one, Mapping) else one for one in level]
        level = [
            one for part in below if not isinstance(part, str) and isinstance(part, Iterable) for one in part
        ]
    return bool(level)


def _unknown(name: str, strategy: Mapping[str, Any] | None) -> Fault:
    """A setting that is none, and those whose names are nearest."""
    known = ["seed", "brief", *(f"{STRATEGY}{path}" for path in _leaves(strategy or {}))]
    close = difflib.get_close_matches(name[:200], known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "there are seed, brief and strategy.<path>"
    return fault(name, f"there is no such setting; {hint}") | {"closest": close}


def _set_all(config: Any, wanted: Mapping[str, Any]) -> Iterator[Fault]:
    """Write every strategy setting into the config; null takes one out."""
    for name, value in wanted.items():
        if name.startswith(STRATEGY):
            why = _set(config, name.removeprefix(STRATEGY).split("."), value)
            if why is not None:
                yield _unknown(name, config) if value is None else fault(name, why)


def _set(config: Any, path: Sequence[str], value: Any) -> str | None:
    """Write one value; what stands in the way, or None. Whether it may stand there the validator says."""
    *above, last = path
    part = config
    for word in above:
        part = part.setdefault(word, {}) if isinstance(part, dict) else _item(part, word)
    if isinstance(part, list) and _item(part, last) is not None:
        part[int(last)] = value
    elif not isinstance(part, dict):
        return f"there is no '{last}' in a list of {len(part)}" if isinstance(part, list) else "not a mapping"
    elif value is not None:
        part[last] = value
    elif part.pop(last, None) is None:
        return "there is nothing to take out"
    return None


def _item(part: Any, word: str) -> Any:
    there = isinstance(part, list) and word.isdecimal() and int(word) < len(part)
    return part[int(word)] if there else None


def _validated(config: Any) -> dict[str, Any]:
    """By the one validator; its paths are named as the settings are."""
    try:
        return parse_strategy(config).to_config()
    except InvalidInput as invalid:
        errors: Any = invalid.details["errors"]
        _refuse([{**one, "path": f"{STRATEGY}{one['path']}"} for one in errors])
        raise


def _difference(before: Settings, after: Settings) -> dict[str, dict[str, Any]]:
    old, new = ({"seed": one.seed, "brief": one.brief, **_named(one.strategy)} for one in (before, after))
    return {
        name: {"from": old.get(name), "to": new.get(name)}
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    }


def _named(strategy: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{STRATEGY}{path}": value for path, value in _leaves(strategy or {}).items()}


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What is written in a strategy, by dotted path; a list is one value."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _refuse(faults: Any) -> None:
    found = list(faults)
    if not found:
        return
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise InvalidInput(
        f"The fork can't be made: {found[0]['path']}: {found[0]['message']}{more}.", {"errors": found}
    )
