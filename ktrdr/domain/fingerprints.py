"""Canonical JSON, hashes and derived seeds: what makes two runs comparable byte by byte."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


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
    """Hashes of all that a resumed run must find unchanged. None: not decided yet."""

    strategy: str | None
    data: str | None
    code: str
    settings: str

    def to_json(self) -> dict[str, str | None]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fingerprint:
        return cls(value.get("strategy"), value.get("data"), value["code"], value["settings"])

    def difference(self, other: Fingerprint) -> dict[str, dict[str, str | None]]:
        """What differs, by name; a part that one side does not know yet is no difference."""
        mine, theirs = asdict(self), asdict(other)
        return {
            name: {"checkpoint": mine[name], "now": theirs[name]}
            for name in mine
            if mine[name] is not None and theirs[name] is not None and mine[name] != theirs[name]
        }
