"""Each start leaves one row that says what it found and what it did."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from sqlalchemy import insert as insert_into
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import Event, OperationType, Status
from ktrdr.persistence.orphans import Orphaned
from ktrdr.persistence.starts import KEPT
from ktrdr.persistence.tables import starts
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, claim, get, insert, running

pytestmark = pytest.mark.anyio


def starting(database: Database, holder: str = "holder") -> StartupReconciliation:
    return StartupReconciliation(database, "me", holder)


async def saved(database: Database, operation_id: str, attempt: int) -> None:
    async with database.transaction() as tx:
        assert await tx.checkpoints.save(
            operation_id, attempt, CheckpointType.PERIODIC, {}, None, FINGERPRINT
        )


async def session(database: Database, operation_id: str, *, checkpoint: bool) -> None:
    """One of this backend's own, RUNNING."""
    await insert(database, operation_id, OperationType.AGENT_RESEARCH, is_backend_local=True, owner="me")
    attempt = await claim(database, operation_id, "me", lease_seconds=None)
    assert attempt is not None
    if checkpoint:
        await saved(database, operation_id, attempt)


async def rename(database: Database, old: str, new: str) -> None:
    async with database.transaction() as tx:
        await tx.connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


async def test_a_start_says_what_it_found(database: Database) -> None:
    """Own sessions and lost workers together, apart from what runs, waits, has ended or is not ours."""
    async with database.transaction() as tx:
        assert await tx.instances.acquire("other", "its holder", 15.0) is None
    for operation_id in ("others", "others_that_waits"):
        await insert(
            database, operation_id, OperationType.AGENT_RESEARCH, is_backend_local=True, owner="other"
        )
    assert await claim(database, "others", "other", lease_seconds=None) == 1
    for number in range(3):
        await session(database, f"session_{number}", checkpoint=number > 0)
    await insert(database, "waits")
    await saved(database, "runs", await running(database, "runs"))
    await running(database, "runs_too")
    await saved(database, "cancelled", await running(database, "cancelled"))
    done = await running(database, "done")
    lost = {one: await running(database, one) for one in ("lost", "lost_for_good")}
    await saved(database, "lost", lost["lost"])
    async with database.transaction() as tx:
        assert await tx.operations.finish("cancelled", 1, Event.CANCEL)
        assert await tx.operations.finish("done", done, Event.COMPLETE, result={})
        messages = [await tx.orphans.fail(one, attempt, "WORKER_LOST") for one, attempt in lost.items()]
    failed = Orphaned.of([one or "" for one in messages])
    assert failed == Orphaned(1, 1)

    found = await starting(database).reconcile(failed)
    assert (found.failed_with_checkpoint, found.failed_without_checkpoint) == (3, 2)
    assert (found.left_running, found.resubmitted, found.resumable) == (2, 1, 4)
    assert (found.instance, found.holder) == ("me", "holder")
    assert 0.0 < found.seconds < 60.0
    assert await starting(database).list(10) == [found]


async def test_what_a_start_did_and_its_row_are_one_commit(database: Database) -> None:
    """A start whose row can't be written has failed nothing: the next one finds and tells it all."""
    await session(database, "session", checkpoint=True)
    await rename(database, "backend_starts", "away")
    with pytest.raises((DBAPIError, DatabaseUnavailable)):
        await starting(database).reconcile()
    assert (await get(database, "session")).status is Status.RUNNING
    await rename(database, "away", "backend_starts")
    assert (await starting(database).reconcile()).failed_with_checkpoint == 1


async def test_starts_are_listed_newest_first(database: Database) -> None:
    for holder in ("first", "second", "third"):
        await starting(database, holder).reconcile()
    assert [one.holder for one in await starting(database).list(2)] == ["third", "second"]


async def test_the_oldest_starts_are_let_go_of(database: Database) -> None:
    """Who restarts a backend every few seconds for a month fills no disk."""
    one = await starting(database).reconcile(Orphaned(0, 0))
    row = {name: value for name, value in asdict(one).items() if name != "start_id"}
    async with database.transaction() as tx:
        await tx.connection.execute(insert_into(starts), [row] * KEPT)
    last = await starting(database).reconcile(Orphaned(0, 0))
    async with database.read() as tx:
        kept = await tx.starts.list(2 * KEPT)
    assert len(kept) == KEPT
    assert kept[0] == last
