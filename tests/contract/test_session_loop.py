"""The session loop at its edges: what it does when it can't start from what is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import StatementError

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.loop import run_session
from ktrdr.agents.workbench import Step, Workbench
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, StoredCheckpoint
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import NewOperation, Operation, OperationType, Status
from ktrdr.domain.sessions import GateThresholds, Phase, TriggerReason
from ktrdr.persistence.tables import checkpoints
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import get, setup

pytestmark = pytest.mark.anyio

THRESHOLDS = GateThresholds(0.0, -10.0, 1.0, 0)


async def claimed(database: Database) -> Operation:
    """A session that was triggered and claimed."""
    session = await AgentService(database, setup()).trigger(Trigger(TriggerReason.MANUAL, seed=1))
    async with database.transaction() as tx:
        operation = await tx.operations.claim(session.operation_id, "me", None, None)
    assert operation is not None
    return operation


async def stored(database: Database, operation: Operation) -> StoredCheckpoint | None:
    async with database.read() as tx:
        return await tx.checkpoints.get(operation.operation_id)


async def run(database: Database, operation: Operation, *, stopping: bool = False) -> None:
    stop = asyncio.Event()
    if stopping:
        stop.set()
    async with asyncio.timeout(60):
        await run_session(Workbench(database, operation, THRESHOLDS, Catalog(None), stop))


async def test_a_corrupted_checkpoint_fails_the_session_and_is_not_written_over(database: Database) -> None:
    """It neither stays RUNNING with nobody behind it, nor loses what a repair could still use."""
    operation = await claimed(database)
    async with database.transaction() as tx:
        await tx.connection.execute(update(checkpoints).values(state_sha256="0" * 64))
    before = await stored(database, operation)
    await run(database, operation)
    found = await get(database, operation.operation_id)
    assert (found.status, found.error_code) == (Status.FAILED, "CHECKPOINT_CORRUPTED")
    assert await stored(database, operation) == before


async def test_a_newer_ktrdrs_checkpoint_fails_the_session_and_is_not_written_over(
    database: Database,
) -> None:
    operation = await claimed(database)
    before = await stored(database, operation)
    assert before is not None
    state = {**before.state, "schema_version": SCHEMA_VERSION + 1}
    async with database.transaction() as tx:
        newer = update(checkpoints).values(schema_version=SCHEMA_VERSION + 1, state=state)
        await tx.connection.execute(newer)
    before = await stored(database, operation)
    await run(database, operation)
    found = await get(database, operation.operation_id)
    assert (found.status, found.error_code) == (Status.FAILED, "CHECKPOINT_INCOMPATIBLE")
    assert await stored(database, operation) == before


async def test_a_missing_checkpoint_fails_the_session(database: Database) -> None:
    operation = await claimed(database)
    async with database.transaction() as tx:
        await tx.checkpoints.delete(operation.operation_id)
    await run(database, operation)
    found = await get(database, operation.operation_id)
    assert (found.status, found.error_code) == (Status.FAILED, "CHECKPOINT_NOT_FOUND")


async def test_a_fenced_attempt_writes_nothing(database: Database) -> None:
    """A successor has failed and resumed the session; the old attempt finds out and leaves."""
    operation = await claimed(database)
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local("me")
        await tx.operations.requeue(operation.operation_id, "me")
        await tx.operations.claim(operation.operation_id, "me", None, None)
    before = (await get(database, operation.operation_id), await stored(database, operation))
    await run(database, operation)
    assert (await get(database, operation.operation_id), await stored(database, operation)) == before


async def test_a_transition_that_fails_leaves_the_checkpoint_it_would_have_replaced(
    database: Database,
) -> None:
    """That is taken out first, and comes back with the rest."""
    operation = await claimed(database)
    before = await stored(database, operation)
    bench = Workbench(database, operation, THRESHOLDS, Catalog(None), asyncio.Event())
    async with database.read() as tx:
        session = await tx.sessions.by_operation(operation.operation_id)
    assert session is not None
    child = NewOperation("training_1", OperationType.TRAINING, {"no JSON": object()})
    with pytest.raises(StatementError):
        await bench.commit(Step(replace(session, phase=Phase.TRAINING), (child,)))
    assert await stored(database, operation) == before
    await bench.commit(Step(replace(session, phase=Phase.TRAINING)))
    after = await stored(database, operation)
    assert before is not None
    assert after is not None
    assert after.sequence == before.sequence + 1


async def test_transitions_use_the_pages_of_what_they_replace(database: Database) -> None:
    """SQLite's file holds a large state in the session and in the checkpoint, and no third time."""
    operation = await claimed(database)
    bench = Workbench(database, operation, THRESHOLDS, Catalog(None), asyncio.Event())
    async with database.read() as tx:
        if tx.connection.dialect.name == "postgresql":
            pytest.skip("its vacuum has to come first")
        session = await tx.sessions.by_operation(operation.operation_id)
    assert session is not None
    for number in range(4):
        notes = f"{number}" * (50_000 + number)  # of another length, so that none is written in place
        await bench.commit(Step(replace(session, phase=Phase.BACKTESTING, research_notes=notes)))
    async with database.read() as tx:
        free = await tx.connection.scalar(text("PRAGMA freelist_count"))
        page = await tx.connection.scalar(text("PRAGMA page_size"))
    assert free * page < 10_000


async def test_a_stopping_backend_leaves_a_shutdown_checkpoint_and_a_running_row(database: Database) -> None:
    """The next start tells what happened; this one only keeps what is needed for it."""
    operation = await claimed(database)
    await run(database, operation, stopping=True)
    assert (await get(database, operation.operation_id)).status is Status.RUNNING
    kept = await stored(database, operation)
    assert kept is not None
    assert kept.checkpoint_type == "shutdown"
