"""Canonical JSON, hashes and derived seeds: what makes two runs comparable byte by byte."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HASHES = ("strategy", "data", "code", "settings")
SHOWN_CHANGES = 20
SHOWN_CHARACTERS = 80


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, no NaN. Raises ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def sha256_of(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one step of a session; independent steps get unrelated seeds."""
    digest = hashlib.sha256(canonical_json([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Fingerprint:
    """Hashes of all that a resumed run must find unchanged. None: not decided yet.

    `values` has, by the same names, what the hashes of strategy, data and settings were made of, so that
    a difference can say what changed from what to what. It decides nothing; what an earlier ktrdr saved
    is without it.
    """

    strategy: str | None
    data: str | None
    code: str
    settings: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        return found if self.values else {name: found[name] for name in HASHES}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fingerprint:
        hashes = (value.get("strategy"), value.get("data"), value["code"], value["settings"])
        return cls(*hashes, value.get("values", {}))

    def difference(self, other: Fingerprint) -> dict[str, dict[str, Any]]:
        """What differs, by its dotted name: `{"settings.min_sharpe": {"checkpoint": 0.0, "now": 0.5}}`.

        A part that one side does not know yet is no difference. One whose values are not known on both
        sides is told by its hashes; a side on which a value is absent is left out.
        """
        found: dict[str, dict[str, Any]] = {}
        for name in HASHES:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None or mine == theirs:
                continue
            changed = _changed(name, self.values.get(name), other.values.get(name))
            found |= changed or {name: {"checkpoint": mine, "now": theirs}}
        return found


def described(difference: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a change, for a person: `settings.min_sharpe: 0.0 -> 0.5`."""
    lines = [
        f"{name}: {_shown(change, 'checkpoint')} -> {_shown(change, 'now')}"
        for name, change in difference.items()
    ]
    more = len(lines) - SHOWN_CHANGES
    return lines if more <= 0 else [*lines[:SHOWN_CHANGES], f"and {more} more"]


def _changed(name: str, mine: Any, theirs: Any) -> dict[str, dict[str, Any]]:
    if mine is None or theirs is None:
        return {}
    sides = {"checkpoint": dict(_leaves(name, mine)), "now": dict(_leaves(name, theirs))}
    found: dict[str, dict[str, Any]] = {}
    for path in dict.fromkeys([*sides["checkpoint"], *sides["now"]]):
        change = {side: leaves[path] for side, leaves in sides.items() if path in leaves}
        # By spelling, as the hashes are made: 1 and 1.0 are two values.
        if len({canonical_json(value) for value in change.values()}) > 1 or len(change) == 1:
            found[path] = change
    return found


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping or list, and those that are empty, by dotted path."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    empty = True
    for key, one in inner:
        empty = False
        yield from _leaves(f"{path}.{key}", one)
    if empty:
        yield path, value


def _shown(change: Mapping[str, Any], side: str) -> str:
    if side not in change:
        return "absent"
    value = change[side]
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
