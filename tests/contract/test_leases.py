"""Who judges a lease has to know that it could have been renewed."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from ktrdr.domain.operations import WORKER_LEASE_SECONDS, Progress, Status
from ktrdr.persistence.tables import db_now, operations
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.leases import LeaseJudge
from tests.contract.support import get, running

pytestmark = pytest.mark.anyio


class Clock:
    """The judge's own time; the leases' is the database's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def judge(database: Database) -> tuple[LeaseJudge, Clock]:
    """A judge of a database in which a lease has run out and another has not."""
    await running(database, "op_late", lease_seconds=-1.0)
    await running(database, "op_good", lease_seconds=600.0)
    clock = Clock()
    return LeaseJudge(database, clock), clock


async def look_for(judge: LeaseJudge, clock: Clock, seconds: float) -> list[str]:
    """Beat every second; what was failed."""
    failed: list[str] = []
    for _ in range(round(seconds)):
        failed += await judge.judge()
        clock.now += 1.0
    return failed


async def test_nothing_is_judged_for_one_lease_time_after_a_start(
    judge: tuple[LeaseJudge, Clock], database: Database
) -> None:
    assert await look_for(*judge, WORKER_LEASE_SECONDS) == []
    assert (await get(database, "op_late")).status is Status.RUNNING
    assert await look_for(*judge, 1) == ["op_late"]
    failed = await get(database, "op_late")
    assert (failed.status, failed.error_code) == (Status.FAILED, "WORKER_LOST")
    assert (await get(database, "op_good")).status is Status.RUNNING


async def test_a_gap_starts_the_time_anew(judge: tuple[LeaseJudge, Clock], database: Database) -> None:
    """The judge was away, and so may have been the database; who renews meanwhile is safe."""
    one, clock = judge
    await look_for(one, clock, WORKER_LEASE_SECONDS - 2)
    clock.now += WORKER_LEASE_SECONDS
    assert await look_for(one, clock, WORKER_LEASE_SECONDS) == []
    async with database.transaction() as tx:
        assert await tx.operations.heartbeat("op_late", 1, Progress(), WORKER_LEASE_SECONDS)
    assert await look_for(one, clock, 5) == []


async def test_a_judge_that_was_never_away_judges_at_once(
    judge: tuple[LeaseJudge, Clock], database: Database
) -> None:
    await look_for(*judge, WORKER_LEASE_SECONDS + 1)
    async with database.transaction() as tx:
        await tx.connection.execute(
            update(operations).where(operations.c.operation_id == "op_good").values(lease_expires_at=db_now())
        )
    assert await look_for(*judge, 1) == ["op_good"]
