"""A row of `operation_checkpoints` as a record, however damaged it is.

Damage is one row's own matter: it fails no query and spoils no list. What can't be read is named, for
`integrity.verify` to refuse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, exists

from ktrdr.checkpointing.schemas import CheckpointType, Manifest, StoredCheckpoint
from ktrdr.persistence.tables import checkpoints, operations, stored_bytes

# Text and JSON are read as bytes: a driver that can't decode them would fail the whole query.
_AS_BYTES = ("checkpoint_type", "state", "state_sha256", "artifacts", "artifacts_path", "fingerprint", "seal")
# A foreign key lets no row be without its operation: where there is none, the row's own key is damaged.
IS_ASTRAY = ~exists().where(operations.c.operation_id == checkpoints.c.operation_id)
COLUMNS = [
    *(stored_bytes(one).label(one.key) if one.key in _AS_BYTES else one for one in checkpoints.c),
    IS_ASTRAY.label("is_astray"),
]


def stored(row: RowMapping) -> StoredCheckpoint:
    """The record of a row that was selected by `COLUMNS`."""
    reader = _Reader(row)
    seal = _Reader(row).object("seal")  # a reader of its own: its damage makes nothing unreadable
    owner = reader.owner(seal)
    kind, manifest = reader.kind(), reader.manifest()
    return StoredCheckpoint(
        operation_id=owner,
        sequence=reader.number("sequence"),
        attempt=reader.number("attempt"),
        checkpoint_type=kind,
        schema_version=reader.number("schema_version"),
        state=reader.object("state") or {},
        state_sha256=reader.text("state_sha256") or "",
        artifacts=manifest,
        fingerprint=reader.object("fingerprint") or {},
        created_at=float(row["created_at"]),
        seal=seal,
        unreadable=tuple(reader.unreadable),
    )


@dataclass
class _Reader:
    """Reads parts, and notes those that it can't."""

    row: RowMapping
    unreadable: list[str] = field(default_factory=list)

    def owner(self, seal: dict[str, Any] | None) -> str:
        """The operation; that which the row was sealed for when its key names none."""
        if not self.row["is_astray"]:
            return str(self.row["operation_id"])
        self.unreadable.append("operation_id")
        return str((seal or {}).get("operation_id", self.row["operation_id"]))

    def number(self, name: str) -> int:
        value = self.row[name]
        if isinstance(value, int):
            return value
        self.unreadable.append(name)
        return 0

    def text(self, name: str) -> str | None:
        value = self.row[name]
        try:
            return None if value is None else bytes(value).decode()
        except UnicodeDecodeError:
            self.unreadable.append(name)
            return None

    def object(self, name: str) -> dict[str, Any] | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.unreadable.append(name)
            return None
        return found

    def kind(self) -> CheckpointType:
        word = self.text("checkpoint_type")
        if word in {one.value for one in CheckpointType if one is not CheckpointType.UNREADABLE}:
            return CheckpointType(word)
        if word is not None:  # else it is noted already
            self.unreadable.append("checkpoint_type")
        return CheckpointType.UNREADABLE

    def manifest(self) -> Manifest | None:
        """The files, if both columns tell of the same."""
        found, path = self.object("artifacts"), self.text("artifacts_path")
        try:
            manifest = None if found is None else _manifest(found)
        except (AttributeError, KeyError, TypeError):
            manifest = None
            self.unreadable.append("artifacts")
        if "artifacts" in self.unreadable or "artifacts_path" in self.unreadable:
            return manifest
        if manifest is not None and manifest.to_json() != found:
            self.unreadable.append("artifacts")
        elif path != (None if manifest is None else manifest.path):
            self.unreadable.append("artifacts_path")
        return manifest


def _manifest(value: dict[str, Any]) -> Manifest:
    found = Manifest.from_json(value)
    numbers = [one.bytes for one in found.files.values()]
    words = [found.path, *found.files, *(one.sha256 for one in found.files.values())]
    if not all(isinstance(one, int) for one in numbers) or not all(isinstance(one, str) for one in words):
        raise TypeError("a manifest of other types")
    return found
