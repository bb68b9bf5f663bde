"""Checkpoints in the database: the latest of each operation, nothing older."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.checkpointing.integrity import seal_of
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType, Manifest, StoredCheckpoint
from ktrdr.domain.fingerprints import Fingerprint, finite, sha256_of
from ktrdr.domain.operations import Status
from ktrdr.persistence.checkpoint_rows import COLUMNS, IS_ASTRAY, stored
from ktrdr.persistence.tables import checkpoints, db_now, operations

_columns = checkpoints.c
_sequence = select(_columns.sequence).where(_columns.operation_id == operations.c.operation_id)
# The sequence so far, of the attempt that holds the operation and nobody else; locks the row.
_LATEST = (
    select(func.coalesce(_sequence.scalar_subquery(), 0))
    .where(
        operations.c.operation_id == bindparam("of"),
        operations.c.attempt == bindparam("at"),
        # Only what runs is saved, and what is new and waits for its first runner (attempt 0).
        or_(operations.c.status == Status.RUNNING.value, operations.c.attempt == 0),
    )
    .with_for_update(of=operations)
)
_TAKE_OUT = delete(checkpoints).where(_columns.operation_id == bindparam("of")).returning(_columns.sequence)


@cache
def _replace(dialect_name: str) -> Any:
    """Made once: to make it takes as long as to run it. What replaces a state is sent once."""
    dialect: Any = sqlite if dialect_name == "sqlite" else postgresql
    names = [column.name for column in checkpoints.columns if column is not _columns.created_at]
    statement = dialect.insert(checkpoints).values(
        **{name: bindparam(name) for name in names}, created_at=db_now()
    )
    replaced = {name: statement.excluded[name] for name in (*names, "created_at") if name != "operation_id"}
    return statement.on_conflict_do_update(index_elements=["operation_id"], set_=replaced)


class Checkpoints:
    """The rows of `operation_checkpoints`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def save(
        self,
        operation_id: str,
        attempt: int,
        kind: CheckpointType,
        state: Mapping[str, Any],
        artifacts: Manifest | None,
        fingerprint: Fingerprint,
        *,
        after: int | None = None,
    ) -> int | None:
        """Replace the operation's checkpoint; returns its sequence, or None when `attempt` is fenced.

        `after` is what `take_out` returned, and its caller holds the fence.
        """
        latest = after
        if latest is None:
            latest = await self._connection.scalar(_LATEST, {"of": operation_id, "at": attempt})
        if latest is None:
            return None
        sequence: int = latest + 1
        kept = finite(state)
        files = None if artifacts is None else artifacts.to_json()
        inputs = fingerprint.to_json()
        seal = seal_of(operation_id, sequence, attempt, kind, SCHEMA_VERSION, kept, files, inputs)
        values = {
            "operation_id": operation_id,
            "sequence": sequence,
            "attempt": attempt,
            "checkpoint_type": kind.value,
            "schema_version": SCHEMA_VERSION,
            "state": kept,
            "state_sha256": sha256_of(seal),
            "artifacts": files,
            "artifacts_path": None if artifacts is None else artifacts.path,
            "fingerprint": inputs,
            "seal": seal,
        }
        await self._connection.execute(_replace(self._connection.dialect.name), values)
        return sequence

    async def take_out(self, operation_id: str) -> int:
        """Remove the checkpoint that this transaction is about to replace; returns its sequence, or 0.

        For a transaction that writes a large row before: SQLite writes that into the pages that are free
        now, and the checkpoint into those of the row. The caller holds the fence.
        """
        return await self._connection.scalar(_TAKE_OUT, {"of": operation_id}) or 0

    async def get(self, operation_id: str) -> StoredCheckpoint | None:
        """As stored; `integrity.verify` judges it. One whose key is damaged is not missing."""
        found = (await self.of([operation_id])).get(operation_id)
        return (await self._astray(operation_id))[1] if found is None else found

    async def of(self, operation_ids: Sequence[str]) -> dict[str, StoredCheckpoint]:
        """The checkpoints of several operations, by id."""
        query = select(*COLUMNS).where(_columns.operation_id.in_(operation_ids))
        rows = (await self._connection.execute(query)).mappings()
        return {row["operation_id"]: stored(row) for row in rows}

    async def epoch(self, operation_id: str) -> int | None:
        """The epoch that a training's checkpoint is at; None without one, or when it can't be read."""
        found = await self.get(operation_id)
        epoch = None if found is None else found.state.get("epoch")
        return epoch if isinstance(epoch, int) else None

    async def delete(self, operation_id: str) -> bool:
        if await self._removed(operation_id):
            return True
        key, _ = await self._astray(operation_id)
        return key is not None and await self._removed(key)

    async def list(self) -> builtins.list[StoredCheckpoint]:
        """Newest first."""
        query = select(*COLUMNS).order_by(_columns.created_at.desc())
        rows = [*(await self._connection.execute(query)).mappings()]
        whole = {row["operation_id"] for row in rows if not row["is_astray"]}
        found = [(row, stored(row)) for row in rows]
        # A runner that found no row under its key has begun another: that one counts.
        return [one for row, one in found if not row["is_astray"] or one.operation_id not in whole]

    async def _removed(self, key: str) -> bool:
        result = await self._connection.execute(delete(checkpoints).where(_columns.operation_id == key))
        return result.rowcount == 1

    async def _astray(self, operation_id: str) -> tuple[str | None, StoredCheckpoint | None]:
        """The row that was sealed for an operation and whose key is of none, and that key."""
        rows = (await self._connection.execute(select(*COLUMNS).where(IS_ASTRAY))).mappings()
        found = ((row["operation_id"], stored(row)) for row in rows)
        return next(((key, one) for key, one in found if one.operation_id == operation_id), (None, None))
