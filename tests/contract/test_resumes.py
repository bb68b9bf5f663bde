"""Resumes on both databases: one winner, one row, nothing lost to a clean-up, and none that gets nowhere."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text, update

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.workbench import Interrupted, Workbench
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.api.services.resumes_service import RECENT_SECONDS, ResumesService
from ktrdr.checkpointing.artifacts import delete_generation, write_generation
from ktrdr.checkpointing.schemas import CheckpointType, TrainingCheckpointState
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    CheckpointInUse,
    CheckpointNotFound,
    Conflict,
    KtrdrError,
    OperationNotResumable,
)
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.domain.resumes import Ending, Position, Resume
from ktrdr.domain.sessions import GateThresholds, Phase, TriggerReason
from ktrdr.persistence.tables import checkpoints, db_now, operations
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.executors.local import LocalExecutor
from tests.conftest import create_postgresql_database
from tests.contract.support import claim, get, setup
from tests.integration.strategies import SMALL

pytestmark = pytest.mark.anyio

THRESHOLDS = GateThresholds(0.0, -10.0, 1.0, 0)
OTHER_GATES = replace(THRESHOLDS, min_trades=7)
SECONDS = 10.0


def resumes(
    database: Database, home: Path, *, max_active: int = 1, gates: GateThresholds = THRESHOLDS
) -> ResumesService:
    return ResumesService(database, setup(max_active=max_active, thresholds=gates), home)


async def session(database: Database, *, instance: str = "me") -> str:
    """A session that was triggered and claimed."""
    service = AgentService(database, setup(instance=instance, max_active=100))
    made = await service.trigger(Trigger(TriggerReason.MANUAL, seed=1))
    assert await claim(database, made.operation_id, instance, None) is not None
    return made.operation_id


async def interrupted(database: Database, *, instance: str = "me") -> str:
    """A session whose backend was restarted."""
    operation_id = await session(database, instance=instance)
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local(instance)
    return operation_id


async def training(database: Database, home: Path, operation_id: str) -> str:
    """Put a running session into TRAINING; its training has failed behind epoch 17."""
    child_id = f"{operation_id}.training"
    async with database.transaction() as tx:
        found = await tx.sessions.by_operation(operation_id)
        assert found is not None
        own = replace(found, phase=Phase.TRAINING, strategy_config=SMALL, training_operation_id=child_id)
        request = {"dataset": "nasdaq", "strategy_config": SMALL, "seed": 1}
        await tx.operations.insert_if_absent(NewOperation(child_id, OperationType.TRAINING, request))
        prints = fingerprint_of(Catalog(None), "nasdaq", SMALL, {})
        await tx.checkpoints.save(
            operation_id, 1, CheckpointType.PHASE_TRANSITION, build(own).to_json(), None, prints
        )
    attempt = await claim(database, child_id)
    assert attempt is not None
    files = write_generation(home, child_id, {"tensors": b"17"})
    state = TrainingCheckpointState(17, 100).to_json()
    async with database.transaction() as tx:
        await tx.checkpoints.save(child_id, attempt, CheckpointType.FAILURE, state, files, prints)
        await tx.operations.finish(
            child_id, attempt, Event.FAIL, error_code="LOSS_NOT_FINITE", error_message="nan"
        )
    return child_id


async def rows(database: Database, operation_id: str) -> list[Resume]:
    async with database.read() as tx:
        return (await tx.resumes.of([operation_id])).get(operation_id, [])


async def fails(database: Database, operation_id: str, code: str = "DIED") -> None:
    """What was resumed is claimed, and its attempt fails."""
    attempt = await claim(database, operation_id, "me", None)
    assert attempt is not None
    async with database.transaction() as tx:
        assert await tx.operations.finish(
            operation_id, attempt, Event.FAIL, error_code=code, error_message=f"attempt {attempt} died"
        )


async def test_a_resume_is_a_row_that_says_from_where_and_what_had_ended_it(
    database: Database, tmp_path: Path
) -> None:
    operation_id = await interrupted(database)
    before = await get(database, operation_id)
    await resumes(database, tmp_path).resume(operation_id, force=False)
    [row] = await rows(database, operation_id)
    ended = Ending(1, "BACKEND_RESTARTED", before.error_message, before.completed_at)
    assert replace(row, created_at=None) == Resume(operation_id, ended, Position("DESIGNING"), 1)
    assert row.created_at is not None
    assert (await get(database, operation_id)).status is Status.PENDING


async def test_a_session_is_as_far_as_the_child_it_waits_for(database: Database, tmp_path: Path) -> None:
    operation_id = await session(database)
    child_id = await training(database, tmp_path, operation_id)
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local("me")
    await resumes(database, tmp_path).resume(operation_id, force=True)
    [row] = await rows(database, operation_id)
    assert row.position == Position("TRAINING", child_id, epoch=17)
    assert (row.checkpoint_sequence, row.forced) == (2, True)
    assert row.difference is not None
    assert {name.partition(".")[0] for name in row.difference} == {"settings"}


async def test_a_child_that_a_session_re_queues_has_a_row_too(database: Database, tmp_path: Path) -> None:
    operation_id = await session(database)
    child_id = await training(database, tmp_path, operation_id)
    stop = asyncio.Event()
    stop.set()  # the bench re-queues, and then finds that it is to stop
    bench = Workbench(database, await get(database, operation_id), THRESHOLDS, Catalog(None), stop)
    with pytest.raises(Interrupted):
        await bench.result_of(child_id, Phase.TRAINING)
    [row] = await rows(database, child_id)
    assert (row.ending.code, row.ending.message) == ("LOSS_NOT_FINITE", "nan")
    assert (row.position, row.checkpoint_sequence, row.automatic) == (Position(epoch=17), 1, False)
    assert (await get(database, child_id)).status is Status.PENDING


async def test_a_refusal_leaves_no_row_and_force_says_over_what(database: Database, tmp_path: Path) -> None:
    operation_id = await interrupted(database)
    before = await get(database, operation_id)
    service = resumes(database, tmp_path, gates=OTHER_GATES)
    with pytest.raises(Conflict, match=r"settings\.min_trades: 0 -> 7"):
        await service.resume(operation_id, force=False)
    assert await get(database, operation_id) == before
    assert await rows(database, operation_id) == []
    done = await service.resume(operation_id, force=True)
    [row] = await service.history(operation_id)
    assert row.forced
    assert row.difference == done.difference
    assert row.difference == {"settings.min_trades": {"checkpoint": 0, "now": 7}}


async def test_of_twenty_resumes_at_once_one_wins_and_one_row_is_there(
    database: Database, tmp_path: Path
) -> None:
    operation_id = await interrupted(database)
    service = resumes(database, tmp_path)
    found = await asyncio.gather(
        *(service.resume(operation_id, force=False) for _ in range(20)), return_exceptions=True
    )
    lost = [one for one in found if isinstance(one, BaseException)]
    assert len(lost) == 19
    assert all(isinstance(one, Conflict) for one in lost), lost
    assert len(await rows(database, operation_id)) == 1


async def waits_for_a_lock(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            async with database.read() as tx:
                query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if (await tx.connection.execute(query)).scalar_one():
                    return


async def test_a_checkpoint_that_is_being_deleted_is_not_resumed_from(
    postgresql: str, anyio_backend: str, tmp_path: Path
) -> None:
    """The resume waits for the clean-up that came first: it never re-queues what has no checkpoint."""
    database = Database(await asyncio.to_thread(create_postgresql_database, postgresql))
    await database.migrate()
    operation_id = await interrupted(database)
    async with database.transaction() as tx:
        await tx.operations.locked(operation_id)
        await tx.checkpoints.delete(operation_id)
        late = asyncio.create_task(resumes(database, tmp_path).resume(operation_id, force=False))
        await waits_for_a_lock(database)
    with pytest.raises(CheckpointNotFound):
        await late
    assert (await get(database, operation_id)).status is Status.FAILED
    await database.close()


async def test_what_is_being_resumed_keeps_its_checkpoint(
    postgresql: str, anyio_backend: str, tmp_path: Path
) -> None:
    database = Database(await asyncio.to_thread(create_postgresql_database, postgresql))
    await database.migrate()
    operation_id = await interrupted(database)
    async with database.transaction() as tx:
        await tx.operations.locked(operation_id)
        late = asyncio.create_task(CheckpointsService(database, tmp_path).delete(operation_id))
        await waits_for_a_lock(database)
        assert await tx.operations.requeue(operation_id, "me")
    with pytest.raises(CheckpointInUse):
        await late
    async with database.read() as tx:
        assert await tx.checkpoints.get(operation_id) is not None
    await database.close()


async def test_a_childs_damage_is_found_before_the_session_is_touched(
    database: Database, tmp_path: Path
) -> None:
    """And the way out is told: give the child's checkpoint up, and its phase begins anew."""
    operation_id = await session(database)
    child_id = await training(database, tmp_path, operation_id)
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local("me")
        kept = await tx.checkpoints.get(child_id)
    assert kept is not None
    assert kept.artifacts is not None
    delete_generation(tmp_path, kept.artifacts)
    before = await get(database, operation_id)
    service = resumes(database, tmp_path)
    with pytest.raises(CheckpointCorrupted, match=f"'tensors'.* 'ktrdr checkpoints delete {child_id}'"):
        await service.resume(operation_id, force=True)
    assert (await get(database, operation_id), await rows(database, operation_id)) == (before, [])
    await CheckpointsService(database, tmp_path).delete(child_id)
    preview = await service.preview(operation_id, force=True)
    assert (preview.obstacle, preview.plan and preview.plan.child and preview.plan.child.action) == (
        None,
        "start",
    )


async def test_the_third_resume_that_gets_nowhere_is_told_and_still_allowed(
    database: Database, tmp_path: Path
) -> None:
    operation_id = await interrupted(database)
    service = resumes(database, tmp_path)
    shown = OperationsService(database, executor=LocalExecutor(tmp_path, {}, 1), wake=lambda: None)
    for _ in range(3):
        assert (await shown.get(operation_id)).stuck is None
        assert (await service.resume(operation_id, force=False)).stuck is None
        await fails(database, operation_id)
    view, [listed] = await shown.get(operation_id), await shown.list()
    assert view.stuck is not None
    assert (view.resumes, view.stuck.resumes) == (3, 3)
    assert [one.message for one in view.stuck.endings] == [f"attempt {one} died" for one in (2, 3, 4)]
    assert listed.stuck == view.stuck
    assert (await service.preview(operation_id, force=False)).stuck == view.stuck
    with pytest.raises(OperationNotResumable, match="3 times and got no further"):
        await service.resume(operation_id, force=False, automatic=True)
    assert len(await rows(database, operation_id)) == 3
    assert (await service.resume(operation_id, force=False)).stuck == view.stuck
    assert (await shown.get(operation_id)).stuck == view.stuck  # until it has got further
    await claim(database, operation_id, "me", None)
    async with database.transaction() as tx:
        found = await tx.sessions.by_operation(operation_id)
        assert found is not None
        state = build(replace(found, phase=Phase.TRAINING)).to_json()
        prints = fingerprint_of(Catalog(None), "nasdaq", None, {})
        await tx.checkpoints.save(operation_id, 5, CheckpointType.PHASE_TRANSITION, state, None, prints)
    assert (await shown.get(operation_id)).stuck is None


async def test_a_preview_changes_nothing_and_gives_the_reason(database: Database, tmp_path: Path) -> None:
    operation_id = await interrupted(database)
    before = await get(database, operation_id)
    service = resumes(database, tmp_path, gates=OTHER_GATES)
    refused = await service.preview(operation_id, force=False)
    assert refused.obstacle is not None
    assert (refused.obstacle.code, refused.plan is None) == ("CHECKPOINT_INCOMPATIBLE", False)
    allowed = await service.preview(operation_id, force=True)
    assert (allowed.obstacle, allowed.difference is None) == (None, False)
    assert allowed.checkpoint is not None
    assert 0.0 <= allowed.now - allowed.checkpoint.created_at < 60.0
    assert await get(database, operation_id) == before
    assert await rows(database, operation_id) == []
    await session(database)
    full = await resumes(database, tmp_path).preview(operation_id, force=False)
    assert full.obstacle is not None
    assert (full.obstacle.code, full.plan is None) == ("SESSION_ACTIVE", False)


async def test_after_a_restart_the_oldest_are_resumed_as_far_as_there_is_room(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What needs a person is skipped, and the log says why."""
    caplog.set_level(logging.INFO)
    unwanted, stuck, damaged, changed, first, second, third = [await session(database) for _ in range(7)]
    foreign, failed = await session(database, instance="you"), await session(database)
    async with database.transaction() as tx:
        assert await tx.operations.request_cancel(unwanted)
        kept = await tx.checkpoints.get(changed)
        assert kept is not None
        other = fingerprint_of(Catalog(None), "nasdaq", None, {"gates": "others"})
        await tx.checkpoints.save(changed, 1, CheckpointType.PHASE_TRANSITION, kept.state, None, other)
        await tx.operations.finish(failed, 1, Event.FAIL, error_code="DESIGN_FAILED", error_message="x")
        await tx.orphans.fail_backend_local("you")
    old = await interrupted(database)
    service = resumes(database, tmp_path, max_active=2)
    for _ in range(3):
        await resumes(database, tmp_path, max_active=9).resume(stuck, force=False)
        await claim(database, stuck, "me", None)
        async with database.transaction() as tx:
            await tx.orphans.fail_backend_local("me")
    async with database.transaction() as tx:
        column = checkpoints.c.operation_id
        await tx.connection.execute(
            update(checkpoints).where(column == damaged).values(state_sha256="0" * 64)
        )
        long_ago = {"completed_at": db_now() - RECENT_SECONDS - 1.0}
        await tx.connection.execute(
            update(operations).where(operations.c.operation_id == old).values(**long_ago)
        )
    assert await service.resume_interrupted() == [first, second]
    assert [one.automatic for one in await rows(database, first)] == [True]
    for one in (stuck, damaged, changed, third, foreign, failed, old, unwanted):
        assert (await get(database, one)).status is Status.FAILED, one
    told = "\n".join(record.getMessage() for record in caplog.records)
    for line in (
        f"{stuck} is not resumed (OPERATION_NOT_RESUMABLE): It was resumed 3 times",
        f"{damaged} is not resumed (CHECKPOINT_CORRUPTED)",
        f"{changed} is not resumed (CHECKPOINT_INCOMPATIBLE)",
        f"{first} is resumed from checkpoint 1",
        "1 interrupted sessions are not resumed: 2 of 2 sessions are active",
    ):
        assert line in told
    assert await service.resume_interrupted() == []


async def test_what_never_was_has_no_resumes(database: Database, tmp_path: Path) -> None:
    with pytest.raises(KtrdrError, match="op_1"):
        await resumes(database, tmp_path).history("op_1")
