"""After a restart the rows tell the truth, and only about what is really gone."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.operations import OperationType, Progress, Status
from ktrdr.persistence.orphans import ABANDONED_SECONDS
from ktrdr.persistence.tables import db_now, instances
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, claim, get, insert, running

pytestmark = pytest.mark.anyio

WITH = "Backend restarted - checkpoint available for resume"
WITHOUT = "Backend restarted - no checkpoint available"


async def session(database: Database, operation_id: str, owner: str, *, checkpoint: bool = False) -> None:
    """A backend-local operation that `owner` runs."""
    await insert(database, operation_id, OperationType.AGENT_RESEARCH, is_backend_local=True, owner=owner)
    attempt = await claim(database, operation_id, owner, lease_seconds=None)
    assert attempt is not None
    if checkpoint:
        async with database.transaction() as tx:
            await tx.checkpoints.save(
                operation_id, attempt, CheckpointType.PHASE_TRANSITION, {}, None, FINGERPRINT
            )


async def restarted(database: Database) -> tuple[int, int]:
    """How many were failed with, and without, a checkpoint."""
    found = await StartupReconciliation(database, "me", "holder").reconcile()
    return found.failed_with_checkpoint, found.failed_without_checkpoint


async def alive(database: Database, instance: str, *, silent_for: float = 0.0) -> None:
    """An instance that was last heard of `silent_for` seconds after its lease."""
    async with database.transaction() as tx:
        assert await tx.instances.acquire(instance, f"holder of {instance}", 15.0) is None
        if silent_for:
            await tx.connection.execute(
                update(instances)
                .where(instances.c.instance == instance)
                .values(lease_expires_at=db_now() - silent_for)
            )


async def test_the_two_messages_are_exact(database: Database) -> None:
    await session(database, "op_1", "me", checkpoint=True)
    await session(database, "op_2", "me")
    await session(database, "op_3", "me")
    assert await restarted(database) == (1, 2)
    for operation_id, message in (("op_1", WITH), ("op_2", WITHOUT), ("op_3", WITHOUT)):
        found = await get(database, operation_id)
        assert (found.status, found.error_message) == (Status.FAILED, message)
        assert found.error_code == "BACKEND_RESTARTED"
        assert found.completed_at is not None


async def test_an_accepted_session_that_was_not_claimed_yet_is_failed_too(database: Database) -> None:
    """Its first checkpoint is there from the trigger on, and a resume is explicit."""
    await insert(database, "op_1", OperationType.AGENT_RESEARCH, is_backend_local=True, owner="me")
    await insert(database, "op_2", OperationType.AGENT_RESEARCH, is_backend_local=True, owner="other")
    await alive(database, "other")
    await insert(database, "op_3", OperationType.TRAINING)
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_1", 0, CheckpointType.PHASE_TRANSITION, {}, None, FINGERPRINT)
    assert await restarted(database) == (1, 0)
    assert (await get(database, "op_1")).error_message == WITH
    assert (await get(database, "op_2")).status is Status.PENDING
    assert (await get(database, "op_3")).status is Status.PENDING


async def test_a_second_reconciliation_finds_nothing(database: Database) -> None:
    await session(database, "op_1", "me", checkpoint=True)
    await restarted(database)
    before = await get(database, "op_1")
    assert await restarted(database) == (0, 0)
    assert await get(database, "op_1") == before


async def test_another_live_instance_is_left_alone(database: Database) -> None:
    await alive(database, "me")
    await alive(database, "other")
    await session(database, "op_1", "other", checkpoint=True)
    await session(database, "op_2", "me")
    assert await restarted(database) == (0, 1)
    assert (await get(database, "op_1")).status is Status.RUNNING
    assert (await get(database, "op_2")).status is Status.FAILED


@pytest.mark.parametrize(
    ("silent_for", "status"),
    [(ABANDONED_SECONDS / 2, Status.RUNNING), (ABANDONED_SECONDS + 1.0, Status.FAILED)],
)
async def test_an_instance_that_is_gone_for_good_is_succeeded(
    database: Database, silent_for: float, status: Status
) -> None:
    """One that is merely restarting is given time; its own start tells the truth then."""
    await alive(database, "other", silent_for=silent_for)
    await session(database, "op_1", "other", checkpoint=True)
    await restarted(database)
    assert (await get(database, "op_1")).status is status


async def test_an_instance_that_no_row_knows_is_gone(database: Database) -> None:
    await session(database, "op_1", "never-seen")
    assert await restarted(database) == (0, 1)


async def test_what_has_ended_or_is_a_workers_is_left_alone(database: Database) -> None:
    await insert(database, "op_1")
    await running(database, "op_2")
    await session(database, "op_3", "me")
    async with database.transaction() as tx:
        assert await tx.orphans.fail("op_3", 1, "WORKER_LOST")
    before = [await get(database, f"op_{one}") for one in (1, 2, 3)]
    assert await restarted(database) == (0, 0)
    assert [await get(database, f"op_{one}") for one in (1, 2, 3)] == before


async def test_a_worker_is_failed_at_its_last_sign_of_life(database: Database) -> None:
    """Whatever it wrote meanwhile saves it; a backend's own operation has no lease and gives no sign."""
    await running(database, "op_1")
    gone = await running(database, "op_2")
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_2", gone, CheckpointType.PERIODIC, {}, None, FINGERPRINT)
    await running(database, "op_3")
    await session(database, "op_4", "me")
    async with database.transaction() as tx:
        signs = {sign.operation_id: sign for sign in await tx.orphans.signs_of_life()}
        assert sorted(signs) == ["op_1", "op_2", "op_3"]
        await tx.orphans.touch(signs["op_1"])
    async with database.transaction() as tx:
        assert await tx.operations.heartbeat("op_3", 1, Progress(), 30.0)
    async with database.transaction() as tx:
        assert await tx.orphans.fail_silent(signs["op_1"])
        assert not await tx.orphans.fail_silent(signs["op_1"])
        assert not await tx.orphans.fail_silent(signs["op_3"])
        assert await tx.orphans.fail("op_2", gone, "WORKER_LOST")
    found = await get(database, "op_1")
    assert (found.status, found.error_code) == (Status.FAILED, "WORKER_LOST")
    assert found.error_message == "Worker became unavailable - no checkpoint available"
    with_one = await get(database, "op_2")
    assert with_one.error_message == "Worker became unavailable - checkpoint available for resume"
    assert (await get(database, "op_3")).status is Status.RUNNING
    assert (await get(database, "op_4")).status is Status.RUNNING


async def test_a_name_belongs_to_one_holder(database: Database) -> None:
    """It is taken from another only as that one was seen, and not when it has renewed since."""
    async with database.transaction() as tx:
        assert await tx.instances.acquire("me", "first", 15.0) is None
        seen = await tx.instances.acquire("me", "second", 15.0)
        assert seen is not None
        assert seen.holder == "first"
        assert 14.0 < seen.seconds_left <= 15.0
    async with database.transaction() as tx:
        assert await tx.instances.acquire("me", "first", 15.0) is None
    async with database.transaction() as tx:
        renewed = await tx.instances.acquire("me", "second", 15.0, over=seen)
        assert renewed is not None
        assert renewed != seen
        await tx.instances.release("me", "second")
        assert await tx.instances.acquire("me", "second", 15.0) == renewed
        assert await tx.instances.acquire("me", "second", 15.0, over=renewed) is None
        assert not await tx.instances.holds("me", "first")
        assert await tx.instances.holds("me", "second")
