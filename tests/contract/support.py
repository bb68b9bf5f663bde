"""What the contract tests make their rows with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ktrdr.agents.session_setup import SessionSetup
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.operations import NewOperation, Operation, OperationType
from ktrdr.domain.sessions import GateThresholds
from ktrdr.persistence.unit_of_work import Database, Transaction

GATES = GateThresholds(0.0, -10.0, 1.0, 0)  # whatever was found passes them
FINGERPRINT = Fingerprint(strategy="s", data="d", code="c", settings="x")


def setup(**fields: Any) -> SessionSetup:
    """Of a backend that wakes nobody."""
    told = {"instance": "me", "max_active": 1, "thresholds": GATES, "catalog": Catalog(None)}
    return SessionSetup(**{**told, "wake": lambda: None, **fields})


async def insert(
    database: Database,
    operation_id: str,
    operation_type: OperationType = OperationType.TRAINING,
    **fields: Any,
) -> bool:
    """A PENDING operation; False when it was there."""
    async with database.transaction() as tx:
        return await tx.operations.insert_if_absent(NewOperation(operation_id, operation_type, {}, **fields))


async def claim(
    database: Database, operation_id: str, owner: str = "w", lease_seconds: float | None = 30.0
) -> int | None:
    """The attempt that was begun, or None."""
    async with database.transaction() as tx:
        claimed = await tx.operations.claim(operation_id, owner, "local:host:1:1.0", lease_seconds)
    return None if claimed is None else claimed.attempt


async def running(database: Database, operation_id: str, lease_seconds: float | None = 30.0) -> int:
    """A new operation in RUNNING; its attempt."""
    assert await insert(database, operation_id)
    attempt = await claim(database, operation_id, lease_seconds=lease_seconds)
    assert attempt is not None
    return attempt


async def requeue(database: Database, operation_id: str) -> bool:
    async with database.transaction() as tx:
        return await tx.operations.requeue(operation_id, None)


async def get(database: Database, operation_id: str) -> Operation:
    async with database.read() as tx:
        return await tx.operations.get(operation_id)


class Away(Database):
    """A database that goes away in its first commit, or that of another number: right after it, or before."""

    def __init__(self, url: str, committed: bool, at: int = 1) -> None:
        super().__init__(url)
        self._committed = committed
        self._left = at

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._left -= 1
        away = self._left == 0
        async with super().transaction() as tx:
            yield tx
            if away and not self._committed:
                raise DatabaseUnavailable("the connection was cut")
        if away:
            raise DatabaseUnavailable("the connection was cut")
