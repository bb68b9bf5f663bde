"""Is a checkpoint's row what was saved?

Every part of a row goes into its seal: short values as they are, JSON as its hash. The hash of the
seal is what `state_sha256` holds. The seal is stored too, to tell which part is not what it was; it
decides nothing, so that damage to it alone loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType, StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible
from ktrdr.domain.fingerprints import sha256_of

SEALED_SINCE = 3  # the schema version; what is older has a hash over operation, sequence and state


def seal_of(
    operation_id: str,
    sequence: int,
    attempt: int,
    kind: CheckpointType,
    schema_version: int,
    state: Mapping[str, Any],
    artifacts: Mapping[str, Any] | None,
    fingerprint: Mapping[str, Any],
    hashed: Callable[[Any], str | None] = sha256_of,
) -> dict[str, Any]:
    """All of a row but its time, which the database's clock tells; a row swapped in does not fit."""
    return {
        "operation_id": operation_id,
        "sequence": sequence,
        "attempt": attempt,
        "checkpoint_type": kind.value,
        "schema_version": schema_version,
        "state": hashed(state),
        "artifacts": hashed(artifacts),
        "fingerprint": hashed(fingerprint),
    }


def verify(stored: StoredCheckpoint) -> None:
    """Raises CheckpointCorrupted when the row is not what was saved, CheckpointIncompatible when a newer
    ktrdr saved it.

    Which hash a row must have depends on its schema version, which a state says a second time: a
    version that was changed on one side only does not choose a weaker rule.
    """
    version = stored.schema_version
    agreed = stored.state.get("schema_version") == version
    if version > SCHEMA_VERSION and agreed:
        raise CheckpointIncompatible(
            f"The checkpoint of '{stored.operation_id}' was written by a newer ktrdr (schema {version}; "
            f"this one reads up to {SCHEMA_VERSION}). Upgrade ktrdr, then resume.",
            {"operation_id": stored.operation_id, "schema_version": version, "reads_up_to": SCHEMA_VERSION},
        )
    if stored.unreadable:
        raise _corrupted(stored, stored.unreadable, "it can't be read")
    if version != SCHEMA_VERSION and not agreed:
        raise _corrupted(stored, ("schema_version",))
    if version < SEALED_SINCE:
        if _hash_if_any([stored.operation_id, stored.sequence, stored.state]) != stored.state_sha256:
            raise _corrupted(stored, ("state",))
        return
    seal = _seal(stored)
    if sha256_of(seal) != stored.state_sha256:
        raise _corrupted(stored, _changed(stored, seal))


def _seal(stored: StoredCheckpoint) -> dict[str, Any]:
    return seal_of(
        stored.operation_id,
        stored.sequence,
        stored.attempt,
        stored.checkpoint_type,
        stored.schema_version,
        stored.state,
        None if stored.artifacts is None else stored.artifacts.to_json(),
        stored.fingerprint,
        _hash_if_any,
    )


def _hash_if_any(value: Any) -> str | None:
    """None for what canonical JSON has no spelling for, an infinity say: nothing was saved with that."""
    try:
        return sha256_of(value)
    except ValueError:
        return None


def _changed(stored: StoredCheckpoint, seal: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts that differ from what the row was sealed with, as far as its seal can tell."""
    kept = stored.seal or {}
    found = tuple(name for name, value in seal.items() if name in kept and kept[name] != value)
    return found or ("state_sha256",)


def _corrupted(
    stored: StoredCheckpoint, parts: Sequence[str], what: str = "what is stored is not what was saved"
) -> CheckpointCorrupted:
    return CheckpointCorrupted(
        f"The checkpoint of '{stored.operation_id}' is corrupted ({', '.join(parts)}): {what}. "
        "Restore the database from a backup, or start the operation anew.",
        {"operation_id": stored.operation_id, "part": parts[0], "parts": list(parts)},
    )
