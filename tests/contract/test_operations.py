"""Operations on both databases: one door into RUNNING, and a fence behind every attempt."""

from __future__ import annotations

import asyncio
import math

import pytest

from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.errors import OperationNotFound
from ktrdr.domain.operations import (
    Event,
    NewOperation,
    Operation,
    OperationType,
    Progress,
    Status,
)
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, claim, get, insert, requeue, running

pytestmark = pytest.mark.anyio

HALF = Progress(50.0, "half", {"epoch": 5})


async def finish(database: Database, operation_id: str, attempt: int, event: Event) -> bool:
    async with database.transaction() as tx:
        return await tx.operations.finish(operation_id, attempt, event, error_code="X", error_message="why")


async def write_everything(database: Database, operation_id: str, attempt: int) -> list[bool]:
    """All that a runner can write, each in a transaction of its own: what succeeded."""
    done: list[bool] = []
    async with database.transaction() as tx:
        done.append(await tx.operations.advance(operation_id, attempt, Progress(99.0, "stale")))
    async with database.transaction() as tx:
        done.append(
            await tx.operations.heartbeat(operation_id, attempt, Progress(99.0, "stale"), 999.0) is not None
        )
    async with database.transaction() as tx:
        saved = await tx.checkpoints.save(
            operation_id, attempt, CheckpointType.PERIODIC, {"stale": True}, None, FINGERPRINT
        )
        done.append(saved is not None)
    for event in (Event.COMPLETE, Event.FAIL, Event.CANCEL):
        done.append(await finish(database, operation_id, attempt, event))
    async with database.transaction() as tx:
        done.append(await tx.orphans.fail(operation_id, attempt, "WORKER_LOST") is not None)
    return done


async def test_a_second_insert_is_the_same_operation(database: Database) -> None:
    assert await insert(database, "op_1")
    attempt = await claim(database, "op_1")
    assert not await insert(database, "op_1", OperationType.BACKTESTING)
    found = await get(database, "op_1")
    assert (found.status, found.attempt, found.operation_type) == (
        Status.RUNNING,
        attempt,
        OperationType.TRAINING,
    )


async def test_an_unknown_operation_is_not_found(database: Database) -> None:
    with pytest.raises(OperationNotFound):
        await get(database, "op_nowhere")
    assert await claim(database, "op_nowhere") is None
    assert not await requeue(database, "op_nowhere")


async def test_a_claim_raises_the_attempt_and_keeps_the_first_start(database: Database) -> None:
    assert await running(database, "op_1") == 1
    first = await get(database, "op_1")
    assert await claim(database, "op_1") is None
    assert await finish(database, "op_1", 1, Event.FAIL)
    assert await requeue(database, "op_1")
    assert await claim(database, "op_1") == 2
    again = await get(database, "op_1")
    assert first.started_at is not None
    assert again.started_at == first.started_at


async def test_non_finite_numbers_become_null(database: Database) -> None:
    attempt = await running(database, "op_1")
    async with database.transaction() as tx:
        assert await tx.operations.advance("op_1", attempt, Progress(1.0, "m", {"loss": math.nan}))
    async with database.transaction() as tx:
        assert await tx.operations.finish(
            "op_1", attempt, Event.COMPLETE, result={"sharpe": math.inf, "list": [1.0, math.nan]}
        )
    found = await get(database, "op_1")
    assert found.progress == Progress(100.0, "completed", {"loss": None})
    assert found.result == {"sharpe": None, "list": [1.0, None]}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.CANCEL])
async def test_a_runner_ends_only_what_it_runs(database: Database, status: Status, event: Event) -> None:
    """An attempt ends in RUNNING; whatever came before or after is not its to change."""
    attempt = await running(database, "op_1")
    if status is Status.PENDING:
        assert await finish(database, "op_1", attempt, Event.FAIL)
        assert await requeue(database, "op_1")
    elif status is not Status.RUNNING:
        end = {Status.COMPLETED: Event.COMPLETE, Status.FAILED: Event.FAIL, Status.CANCELLED: Event.CANCEL}
        assert await finish(database, "op_1", attempt, end[status])
    before = await get(database, "op_1")
    assert before.status is status
    assert await finish(database, "op_1", attempt, event) is (status is Status.RUNNING)
    if status is not Status.RUNNING:
        assert await get(database, "op_1") == before


async def test_a_requeue_clears_how_the_last_attempt_ended(database: Database) -> None:
    attempt = await running(database, "op_1")
    async with database.transaction() as tx:
        assert await tx.operations.request_cancel("op_1")
    assert await finish(database, "op_1", attempt, Event.CANCEL)
    assert (await get(database, "op_1")).error_message == "why"
    assert await requeue(database, "op_1")
    found = await get(database, "op_1")
    ended = (found.error_code, found.error_message, found.completed_at, found.cancel_requested_at)
    assert found.status is Status.PENDING
    assert ended == (None, None, None, None)


@pytest.mark.parametrize("end", [Event.COMPLETE, None])
async def test_a_refused_requeue_changes_nothing(database: Database, end: Event | None) -> None:
    attempt = await running(database, "op_1")
    if end is not None:
        assert await finish(database, "op_1", attempt, end)
    before = await get(database, "op_1")
    assert not await requeue(database, "op_1")
    assert await get(database, "op_1") == before


async def test_an_old_attempt_writes_nothing_after_requeue_and_claim(database: Database) -> None:
    old = await running(database, "op_1")
    assert await finish(database, "op_1", old, Event.FAIL)
    assert await requeue(database, "op_1")
    assert await claim(database, "op_1", "new") == old + 1
    async with database.transaction() as tx:
        assert await tx.checkpoints.save(
            "op_1", old + 1, CheckpointType.PERIODIC, {"mine": 1}, None, FINGERPRINT
        )
    before = await get(database, "op_1")
    assert not any(await write_everything(database, "op_1", old))
    assert await get(database, "op_1") == before
    async with database.read() as tx:
        kept = await tx.checkpoints.get("op_1")
    assert kept is not None
    assert (kept.sequence, kept.state) == (1, {"mine": 1})


async def test_an_old_attempt_writes_nothing_between_requeue_and_claim(database: Database) -> None:
    """The resume is queued and nobody runs it yet: a late runner must not end or overwrite it."""
    old = await running(database, "op_1")
    assert await finish(database, "op_1", old, Event.FAIL)
    assert await requeue(database, "op_1")
    before = await get(database, "op_1")
    assert not any(await write_everything(database, "op_1", old))
    assert await get(database, "op_1") == before
    async with database.read() as tx:
        assert await tx.checkpoints.get("op_1") is None


async def test_one_of_many_concurrent_requeues_wins(database: Database) -> None:
    attempt = await running(database, "op_1")
    assert await finish(database, "op_1", attempt, Event.FAIL)
    won = await asyncio.gather(*(requeue(database, "op_1") for _ in range(40)))
    assert won.count(True) == 1
    claimed = await asyncio.gather(*(claim(database, "op_1") for _ in range(40)))
    assert [one for one in claimed if one is not None] == [attempt + 1]


async def test_a_heartbeat_renews_the_lease_and_tells_of_a_cancel(database: Database) -> None:
    attempt = await running(database, "op_1", lease_seconds=1.0)
    before = (await get(database, "op_1")).lease_expires_at
    async with database.transaction() as tx:
        beat = await tx.operations.heartbeat("op_1", attempt, HALF, 60.0)
    assert beat is not None
    assert not beat.cancel_requested
    found = await get(database, "op_1")
    assert found.progress == HALF
    assert before is not None
    assert found.lease_expires_at is not None
    assert found.lease_expires_at > before + 50.0
    for _ in range(2):
        async with database.transaction() as tx:
            assert await tx.operations.request_cancel("op_1")
    asked = (await get(database, "op_1")).cancel_requested_at
    async with database.transaction() as tx:
        assert await tx.operations.request_cancel("op_1")
        beat = await tx.operations.heartbeat("op_1", attempt, HALF, 60.0)
    assert beat is not None
    assert beat.cancel_requested
    assert (await get(database, "op_1")).cancel_requested_at == asked


async def test_what_nobody_runs_is_cancelled_or_failed_at_once(database: Database) -> None:
    for name in ("op_1", "op_2"):
        await insert(database, name)
    async with database.transaction() as tx:
        assert not await tx.operations.request_cancel("op_1")
        assert await tx.operations.cancel_pending("op_1")
        assert not await tx.operations.cancel_pending("op_1")
        waiting = await tx.operations.get("op_2")
        assert await tx.queue.fail_start(waiting, "WORKER_DID_NOT_START", "died", {"log": "why"})
        assert not await tx.queue.fail_start(waiting, "WORKER_DID_NOT_START", "died", None)
    assert (await get(database, "op_1")).status is Status.CANCELLED
    found = await get(database, "op_2")
    assert (found.status, found.error_code) == (Status.FAILED, "WORKER_DID_NOT_START")
    assert found.error_details == {"log": "why"}
    await running(database, "op_3")
    async with database.transaction() as tx:
        assert not await tx.operations.cancel_pending("op_3")
        assert not await tx.queue.fail_start(await tx.operations.get("op_3"), "X", "y", None)


async def test_the_late_exit_of_a_worker_says_nothing_of_the_resumed_attempt(database: Database) -> None:
    """The worker that was started for attempt 0 claimed (1), failed, was resumed, and only then exits."""
    assert await insert(database, "op_1")
    as_it_was = await get(database, "op_1")
    attempt = await claim(database, "op_1")
    assert attempt is not None
    async with database.transaction() as tx:
        assert await tx.operations.finish("op_1", attempt, Event.FAIL, error_message="died")
        assert await tx.operations.requeue("op_1", None)
        assert not await tx.queue.fail_start(as_it_was, "WORKER_START_FAILED", "exited", None)
        assert not await tx.queue.started(as_it_was, "local:host:1:1.0")
    assert (await get(database, "op_1")).status is Status.PENDING


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    async def broken() -> None:
        async with database.transaction() as tx:
            await tx.operations.insert_if_absent(NewOperation("op_1", OperationType.TRAINING, {}))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await broken()
    async with database.read() as tx:
        assert await tx.operations.find("op_1") is None


async def test_lists_filter(database: Database) -> None:
    await insert(database, "op_1", OperationType.AGENT_RESEARCH, is_backend_local=True)
    await insert(database, "op_1.training", parent_operation_id="op_1")
    attempt = await running(database, "op_2")
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_2", attempt, CheckpointType.PERIODIC, {}, None, FINGERPRINT)
    assert await finish(database, "op_2", attempt, Event.FAIL)
    failed = await running(database, "op_3")
    assert await finish(database, "op_3", failed, Event.FAIL)

    def ids(found: list[Operation]) -> list[str]:
        return sorted(one.operation_id for one in found)

    async with database.read() as tx:
        some = tx.operations
        assert ids(await some.list()) == ["op_1", "op_1.training", "op_2", "op_3"]
        assert ids(await some.list(status=Status.FAILED)) == ["op_2", "op_3"]
        assert ids(await some.list(resumable=True)) == ["op_2"]
        assert ids(await some.list(resumable=False)) == ["op_1", "op_1.training", "op_3"]
        assert ids(await some.list(parent="op_1")) == ["op_1.training"]
        assert ids(await some.list(operation_type=OperationType.AGENT_RESEARCH)) == ["op_1"]
        assert len(await some.list(limit=2)) == 2
        assert ids(await tx.queue.waiting(10)) == ["op_1.training"]
        assert ids(await some.active_sessions()) == ["op_1"]
        assert ids(await some.active_sessions(exclude="op_1")) == []
        assert (await some.counts())["training", "FAILED"] == 2
