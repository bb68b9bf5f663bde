"""Cleanup on both databases: what is old and over goes, and nothing that is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ktrdr.api.services import retention_service
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.api.services.retention_service import DAY_SECONDS, RetentionService
from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.schemas import CheckpointType, Manifest, TrainingCheckpointState
from ktrdr.domain.errors import CheckpointInUse, CheckpointNotFound, OperationNotFound
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.retention import Retention
from ktrdr.persistence.tables import db_now, operations, sessions
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, claim, get, requeue, running, setup
from tests.integration.strategies import SMALL

pytestmark = pytest.mark.anyio

FILES = {"tensors": b"0123456789"}
LATER = 2.0e9 + 1e9  # a clock that is years ahead of every folder's time


async def stopped(
    database: Database,
    root: Path,
    operation_id: str,
    *,
    days: float = 40.0,
    event: Event = Event.FAIL,
    parent: str | None = None,
) -> Manifest:
    """An operation that ended with a checkpoint, and was written to last so many days ago."""
    request = {"dataset": "nasdaq", "strategy_config": SMALL}
    new = NewOperation(operation_id, OperationType.TRAINING, request, parent_operation_id=parent)
    async with database.transaction() as tx:
        assert await tx.operations.insert_if_absent(new)
    attempt = await claim(database, operation_id)
    assert attempt is not None
    written = write_generation(root, operation_id, FILES)
    async with database.transaction() as tx:
        kind = CheckpointType.FAILURE
        await tx.checkpoints.save(
            operation_id, attempt, kind, TrainingCheckpointState(3, 9).to_json(), written, FINGERPRINT
        )
        assert await tx.operations.finish(operation_id, attempt, event)
    await age(database, operation_id, days)
    return written


async def age(database: Database, operation_id: str, days: float) -> None:
    async with database.transaction() as tx:
        await tx.connection.execute(
            update(operations)
            .where(operations.c.operation_id == operation_id)
            .values(updated_at=db_now() - days * DAY_SECONDS)
        )


async def completed(database: Database, operation_id: str, result: Mapping[str, Any]) -> None:
    attempt = await running(database, operation_id)
    async with database.transaction() as tx:
        assert await tx.operations.finish(operation_id, attempt, Event.COMPLETE, result=result)


async def kept(database: Database) -> set[str]:
    async with database.read() as tx:
        return {one.operation_id for one in await tx.checkpoints.list()}


async def resume(database: Database, root: Path, operation_id: str) -> bool:
    """As over HTTP; False when it finds no checkpoint."""
    service = ResumesService(database, setup(instance="default"), root)
    try:
        await service.resume(operation_id, force=True)
    except CheckpointNotFound:
        return False
    return True


def service_of(
    database: Database, root: Path, *, clock: float = LATER, hours: float = 1.0
) -> RetentionService:
    return RetentionService(database, root, checkpoint_days=30.0, orphan_hours=hours, clock=lambda: clock)


async def test_old_checkpoints_of_what_ended_go_with_their_files(database: Database, tmp_path: Path) -> None:
    old = await stopped(database, tmp_path, "op_old")
    young = await stopped(database, tmp_path, "op_young", days=29.0)
    cancelled = await stopped(database, tmp_path, "op_cancelled", event=Event.CANCEL)
    done = await service_of(database, tmp_path).clean_up()
    assert (sorted(done.deleted), done.orphans, done.more) == (["op_cancelled", "op_old"], (), False)
    assert done.freed_bytes == 2 * len(FILES["tensors"])
    assert await kept(database) == {"op_young"}
    assert [(tmp_path / one.path).exists() for one in (old, young, cancelled)] == [False, True, False]
    assert (await get(database, "op_old")).status is Status.FAILED, "the operation itself stays"


async def test_what_waits_or_runs_keeps_its_checkpoint_however_old(
    database: Database, tmp_path: Path
) -> None:
    """A row that has not been written to for 40 days is no reason to take what it goes on from."""
    for operation_id in ("op_pending", "op_running"):
        await stopped(database, tmp_path, operation_id)
        write_generation(tmp_path, operation_id, FILES)  # no row points at it yet
        assert await requeue(database, operation_id)
    assert await claim(database, "op_running") is not None
    for operation_id in ("op_pending", "op_running"):
        await age(database, operation_id, 40.0)
    done = await service_of(database, tmp_path).clean_up(0.0)
    assert (done.deleted, done.orphans) == ((), ())
    assert await kept(database) == {"op_pending", "op_running"}


@pytest.mark.parametrize("needed", ["research_1", "research_1.training"])
async def test_a_family_is_kept_together(database: Database, tmp_path: Path, needed: str) -> None:
    """A session whose training was written to lately, and a training whose session was."""
    await stopped(database, tmp_path, "research_1")
    await stopped(database, tmp_path, "research_1.training", parent="research_1")
    await age(database, needed, 1.0)
    service = service_of(database, tmp_path)
    assert (await service.clean_up()).deleted == ()
    await age(database, needed, 31.0)
    assert (await service.clean_up()).deleted == ("research_1", "research_1.training")


async def test_a_running_child_keeps_its_session(database: Database, tmp_path: Path) -> None:
    await stopped(database, tmp_path, "research_1")
    await stopped(database, tmp_path, "research_1.training", parent="research_1")
    assert await requeue(database, "research_1.training")
    assert (await service_of(database, tmp_path).clean_up(0.0)).deleted == ()


async def test_a_dry_run_says_what_would_go_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    written = await stopped(database, tmp_path, "op_1")
    left = write_generation(tmp_path, "op_1", FILES)
    service = service_of(database, tmp_path)
    told = await service.clean_up(dry_run=True)
    assert (told.deleted, told.orphans, told.freed_bytes) == (("op_1",), (left.path,), 20)
    assert await kept(database) == {"op_1"}
    assert all((tmp_path / one.path).exists() for one in (written, left))
    assert (await service.statistics()).last_cleanup is None
    done = await service.clean_up()
    assert (done.deleted, done.orphans, done.freed_bytes) == (told.deleted, told.orphans, told.freed_bytes)
    assert (await service.statistics()).last_cleanup == done


async def test_a_sweep_is_bounded_and_says_that_it_left_something(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first; the next sweep takes the rest."""
    monkeypatch.setattr(retention_service, "MAX_FAMILIES", 2)
    monkeypatch.setattr(retention_service, "MAX_FOLDERS", 1)
    for number in range(3):
        await stopped(database, tmp_path, f"op_{number}", days=40.0 + number)
        write_generation(tmp_path, f"op_{number}", FILES)
    service = service_of(database, tmp_path)
    first = await service.clean_up()
    assert (first.deleted, len(first.orphans), first.more) == (("op_2", "op_1"), 1, True)
    second = await service.clean_up()
    assert (second.deleted, len(second.orphans), second.more) == (("op_0",), 1, True)
    assert not (await service.clean_up()).more


async def test_a_sweep_that_is_told_to_stop_ends_between_two_deletions(
    database: Database, tmp_path: Path
) -> None:
    await stopped(database, tmp_path, "op_1")
    await stopped(database, tmp_path, "op_2")
    told = iter([False, True, True])
    done = await service_of(database, tmp_path).clean_up(stopping=lambda: next(told))
    assert len(done.deleted) == 1
    assert len(await kept(database)) == 1


async def test_files_that_no_row_points_at_go_once_their_operation_ended(
    database: Database, tmp_path: Path
) -> None:
    """A generation that was superseded, what a killed writer left, a model that was never recorded."""
    pointed_at = await stopped(database, tmp_path, "op_1", days=1.0)
    left = [write_generation(tmp_path, owner, FILES).path for owner in ("op_1", "op_1.model", "op_1.report")]
    (tmp_path / "op_1" / f"tmp-{'0' * 32}").mkdir()
    await running(database, "op_2")
    in_use = write_generation(tmp_path, "op_2.model", FILES)
    done = await service_of(database, tmp_path).clean_up()
    assert sorted(done.orphans) == sorted([*left, f"op_1/tmp-{'0' * 32}"])
    assert (done.deleted, done.freed_bytes) == ((), 30)
    assert (tmp_path / pointed_at.path).exists()
    assert (tmp_path / in_use.path).exists()
    assert not (tmp_path / "op_1.model").exists()


@pytest.mark.parametrize("moment", ["active", "result_paths"])
async def test_a_model_that_is_recorded_while_a_cleanup_looks_stays(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its operation completes between two looks, whatever their order."""
    attempt = await running(database, "op_1")
    model = write_generation(tmp_path, "op_1.model", FILES)
    look = getattr(Retention, moment)

    async def look_and_move_on(self: Retention) -> Any:
        found = await look(self)
        async with database.transaction() as tx:
            result = {"model": model.to_json()}
            assert await tx.operations.finish("op_1", attempt, Event.COMPLETE, result=result)
        return found

    monkeypatch.setattr(Retention, moment, look_and_move_on)
    assert (await service_of(database, tmp_path).clean_up()).orphans == ()
    assert (tmp_path / model.path).exists()


async def test_files_that_are_young_stay(database: Database, tmp_path: Path) -> None:
    await stopped(database, tmp_path, "op_1", days=1.0)
    left = write_generation(tmp_path, "op_1", FILES)
    modified = (tmp_path / left.path).stat().st_mtime
    assert (await service_of(database, tmp_path, clock=modified + 3_599.0).clean_up()).orphans == ()
    assert (await service_of(database, tmp_path, clock=modified + 3_601.0).clean_up()).orphans == (left.path,)


async def test_models_and_reports_of_results_stay(database: Database, tmp_path: Path) -> None:
    """Whatever names them: a result, a session's, or the request of a backtest that is to come."""
    owners = ("op_1.model", "op_2.report", "op_3.model", "op_4.report", "op_5.model")
    model, report, taken, shown, wanted = (write_generation(tmp_path, one, FILES) for one in owners)
    await completed(database, "op_1", {"model": model.to_json()})
    await completed(database, "op_2", {"report": report.to_json()})
    for number in (3, 4, 5):
        await completed(database, f"op_{number}", {"model": "no manifest", "report": None})
    new = NewOperation("op_6", OperationType.BACKTESTING, {"model": wanted.to_json()})
    async with database.transaction() as tx:
        assert await tx.operations.insert_if_absent(new)
        assert await tx.operations.cancel_pending("op_6")
        session = await tx.sessions.create(
            operation_id="op_6", trigger_reason=TriggerReason.START_NEW_CYCLE, seed=1, dataset="d", brief=""
        )
        await tx.connection.execute(
            update(sessions)
            .where(sessions.c.session_id == session.session_id)
            .values(training_result={"model": taken.to_json()}, backtest_result={"report": shown.to_json()})
        )
    assert (await service_of(database, tmp_path).clean_up()).orphans == ()


async def test_files_of_operations_that_this_database_does_not_know_stay(
    database: Database, tmp_path: Path
) -> None:
    """The home may have served another database before, whose models these are."""
    left = write_generation(tmp_path, "elsewhere.model", FILES)
    service = service_of(database, tmp_path)
    assert (await service.clean_up()).orphans == ()
    found = await service.statistics()
    assert (found.orphaned.folders, found.other.folders, found.other.bytes) == (0, 1, 10)
    assert (tmp_path / left.path).exists()


async def test_statistics_count_what_is_there(database: Database, tmp_path: Path) -> None:
    service = service_of(database, tmp_path)
    empty = await service.statistics()
    assert (empty.kept.count, empty.kept.resumable, empty.kept.oldest, empty.expired) == (0, 0, None, 0)
    await stopped(database, tmp_path, "op_1")
    await stopped(database, tmp_path, "op_2", days=1.0)
    assert await requeue(database, "op_2")
    await stopped(database, tmp_path, "op_4", days=1.0)
    await completed(database, "op_3", {"model": write_generation(tmp_path, "op_3.model", FILES).to_json()})
    write_generation(tmp_path, "op_3", FILES)
    found = await service.statistics()
    assert (found.kept.count, found.kept.resumable, found.expired) == (3, 2, 1)
    assert found.kept.by_type == {"training": 3}
    assert found.kept.oldest is not None
    usage = (found.checkpoints, found.results, found.orphaned, found.other)
    assert [(one.folders, one.bytes) for one in usage] == [(3, 30), (1, 10), (1, 10), (0, 0)]


async def test_a_locked_operation_is_one_that_is_there(database: Database) -> None:
    await running(database, "op_1")
    async with database.transaction() as tx:
        assert await tx.operations.locked("op_1") == await tx.operations.get("op_1")
        with pytest.raises(OperationNotFound):
            await tx.operations.locked("op_nowhere")


@pytest.mark.parametrize("by", ["delete", "cleanup"])
async def test_what_is_resumed_at_the_same_instant_keeps_its_checkpoint(
    database: Database, tmp_path: Path, by: str
) -> None:
    """The resume is under way and not committed yet: whoever deletes waits for it, and finds it PENDING."""
    written = await stopped(database, tmp_path, "op_1")
    async with database.transaction() as tx:
        await tx.operations.locked("op_1")
        deleting: asyncio.Task[object]
        if by == "delete":
            deleting = asyncio.create_task(CheckpointsService(database, tmp_path).delete("op_1"))
        else:
            deleting = asyncio.create_task(service_of(database, tmp_path).clean_up())
        await asyncio.wait([deleting], timeout=0.2)  # it has begun, and waits
        assert await tx.operations.requeue("op_1", None)
        assert not deleting.done()
    if by == "delete":
        with pytest.raises(CheckpointInUse):
            await deleting
    else:
        await deleting
    assert (await get(database, "op_1")).status is Status.PENDING
    assert await kept(database) == {"op_1"}
    assert (tmp_path / written.path).exists()


async def test_a_resume_at_the_instant_of_a_deletion_is_refused(database: Database, tmp_path: Path) -> None:
    """The deletion is under way and not committed yet: the resume waits for it, and changes nothing."""
    await stopped(database, tmp_path, "op_1")
    async with database.transaction() as tx:
        await tx.operations.locked("op_1")
        assert await tx.checkpoints.delete("op_1")
        resuming = asyncio.create_task(resume(database, tmp_path, "op_1"))
        await asyncio.wait([resuming], timeout=0.2)
    assert not await resuming
    assert (await get(database, "op_1")).status is Status.FAILED


async def test_of_a_resume_and_a_cleanup_one_wins(database: Database, tmp_path: Path) -> None:
    """However they meet: resumed with its checkpoint, or refused without one."""
    checkpoints = CheckpointsService(database, tmp_path)

    async def delete(operation_id: str) -> None:
        try:
            await checkpoints.delete(operation_id)
        except (CheckpointInUse, CheckpointNotFound):
            return

    ids = [f"op_{number}" for number in range(8)]
    for one in ids:
        await stopped(database, tmp_path, one)
    _, *resumed = await asyncio.gather(
        service_of(database, tmp_path).clean_up(),
        *(resume(database, tmp_path, one) for one in ids),
        *(delete(one) for one in ids[::2]),
    )
    left = await kept(database)
    for one, won in zip(ids, resumed, strict=False):
        assert ((await get(database, one)).status is Status.PENDING) is won
        assert (one in left) is won
