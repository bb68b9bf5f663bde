"""What a finished session has left behind, read from its database and its disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import text

from ktrdr.domain.operations import Status
from ktrdr.persistence.events import OperationEvent
from ktrdr.persistence.unit_of_work import Database, Transaction

CHILDREN = ("training", "backtesting", "holdout")
# A phase begins once; ASSESSING says so a second time when it has opened the holdout.
MILESTONES = {"TRAINING begins": 1, "BACKTESTING begins": 1, "ASSESSING begins": 2}


def check(url: str, home: Path) -> None:
    """Raises AssertionError when something was lost, done twice, or left behind."""
    asyncio.run(_check(url, home))


async def _check(url: str, home: Path) -> None:
    database = Database(url)
    try:
        async with database.read() as tx:
            [session] = await tx.sessions.list(2)
            own = session.operation_id
            found = {one.operation_id: one for one in await tx.operations.list()}
            assert set(found) == {own, *(f"{own}.{name}" for name in CHILDREN)}, "one child a phase"
            assert {one.status.value for one in found.values()} == {"COMPLETED"}
            assert _begun(await tx.events.after(own, 0)) == MILESTONES, "a phase was begun twice, or never"
            assert await tx.checkpoints.list() == [], "COMPLETED keeps no checkpoint"
            for table in ("holdout_openings", "trials"):
                assert await _count(tx, table) == 1, f"{table}: a crash neither costs nor gives one"
            if tx.connection.dialect.name == "sqlite":
                assert await tx.connection.scalar(text("PRAGMA integrity_check")) == "ok"
        referenced = {path for one in found.values() for path in _paths(one.result)}
        assert _generations(home / "artifacts") == referenced, "orphaned artifacts after the cleanup"
    finally:
        await database.close()


def _begun(events: Sequence[OperationEvent]) -> dict[str, int]:
    """How often each phase was begun: events between the claim of an attempt and its end."""
    running = [one for one in events if one.status is Status.RUNNING]
    said = [now.progress_message for before, now in pairwise(running) if now.attempt == before.attempt]
    return {message: said.count(message) for message in MILESTONES}


async def _count(tx: Transaction, table: str) -> int:
    return int(await tx.connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


def _paths(result: Any) -> list[str]:
    files = [(result or {}).get(name) for name in ("model", "report")]
    return [one["path"] for one in files if one is not None]


def _generations(artifacts: Path) -> set[str]:
    return {f"{one.parent.name}/{one.name}" for one in artifacts.glob("*/*")}
