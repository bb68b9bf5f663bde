"""Who judges a lease has to know that it could have been renewed."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import WORKER_LEASE_SECONDS, Progress, Status
from ktrdr.persistence.tables import operations
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.leases import SUSPECT_SECONDS, LeaseJudge
from tests.contract.support import get, running

pytestmark = pytest.mark.anyio

# Reads go on and no row of `operations` can be written, as when the database's disk is full.
REFUSE_WRITES = {
    "sqlite": ["CREATE TRIGGER full_disk BEFORE UPDATE ON operations BEGIN SELECT no_such_function(); END"],
    "postgresql": [
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END$$",
        "CREATE TRIGGER full_disk BEFORE UPDATE ON operations EXECUTE FUNCTION full_disk()",
    ],
}
TAKE_WRITES = {
    "sqlite": ["DROP TRIGGER full_disk"],
    "postgresql": ["DROP TRIGGER full_disk ON operations"],
}


class Clock:
    """The judge's own time; a heartbeat's is the database's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A judge of two workers: `op_silent` never renews its lease, `op_good` does every second."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.judge = LeaseJudge(database, self.clock)

    async def look(self, seconds: float, *, good_renews: bool = True) -> list[str]:
        """Beat every second; what was failed."""
        failed: list[str] = []
        for _ in range(round(seconds)):
            if good_renews:
                await self.renew("op_good")
            failed += await self.judge.judge()
            self.clock.now += 1.0
        return failed

    async def renew(self, operation_id: str) -> None:
        async with self.database.transaction() as tx:
            assert await tx.operations.heartbeat(operation_id, 1, Progress(), WORKER_LEASE_SECONDS)

    async def execute(self, *statements: str) -> None:
        async with self.database.transaction() as tx:
            for statement in statements:
                await tx.connection.execute(text(statement))

    async def set_clock_by(self, seconds: float) -> None:
        """As if the database's machine had been set forward by that much: what it wrote is older now."""
        async with self.database.transaction() as tx:
            await tx.connection.execute(
                update(operations).values(
                    heartbeat_at=operations.c.heartbeat_at - seconds,
                    lease_expires_at=operations.c.lease_expires_at - seconds,
                )
            )


@pytest.fixture
async def bench(database: Database) -> Bench:
    for operation_id in ("op_silent", "op_good"):
        await running(database, operation_id)
    return Bench(database)


async def test_a_silent_worker_is_failed_one_lease_time_after_it_was_first_seen(
    bench: Bench, database: Database
) -> None:
    """However old its lease is at a start: nobody may have been able to renew it."""
    await bench.set_clock_by(3600.0)
    assert await bench.look(WORKER_LEASE_SECONDS) == []
    assert (await get(database, "op_silent")).status is Status.RUNNING
    assert await bench.look(1) == ["op_silent"]
    failed = await get(database, "op_silent")
    assert (failed.status, failed.error_code) == (Status.FAILED, "WORKER_LOST")
    assert (await get(database, "op_good")).status is Status.RUNNING


async def test_a_gap_starts_the_time_anew(bench: Bench) -> None:
    """The judge was away, and so may have been the database; who renews meanwhile is safe."""
    await bench.look(WORKER_LEASE_SECONDS - 2)
    bench.clock.now += WORKER_LEASE_SECONDS
    assert await bench.look(WORKER_LEASE_SECONDS) == []
    await bench.renew("op_silent")
    assert await bench.look(5) == []


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["forward", "back"])
async def test_a_clock_that_is_set_neither_fails_a_healthy_worker_nor_keeps_a_dead_one(
    bench: Bench, jump: float
) -> None:
    """Not even one that can't renew for a while right after the jump."""
    await bench.look(10)
    at = bench.clock.now
    async with bench.database.transaction() as tx:  # the silent one's row stays as it is
        good = operations.c.operation_id == "op_good"
        await tx.connection.execute(
            update(operations).where(good).values(lease_expires_at=operations.c.lease_expires_at - jump)
        )
    assert await bench.look(10, good_renews=False) == []
    assert await bench.look(15) == ["op_silent"]
    assert bench.clock.now - at == 25.0


async def test_a_lease_far_ahead_keeps_no_dead_worker_alive(bench: Bench) -> None:
    """The clock went back an hour, so the lease of a worker that died before has an hour to run."""
    await bench.set_clock_by(-3600.0)
    assert await bench.look(WORKER_LEASE_SECONDS + 1) == ["op_silent"]


async def test_a_database_that_takes_no_writes_starts_the_time_anew(bench: Bench) -> None:
    """A full disk can be read from: every worker is silent, and the first to write again must not be us."""
    async with bench.database.read() as tx:
        kind = tx.connection.dialect.name
    await bench.look(2)
    await bench.execute(*REFUSE_WRITES[kind])
    refused = 0
    for _ in range(round(2 * WORKER_LEASE_SECONDS)):
        try:
            assert await bench.judge.judge() == []
        except DatabaseUnavailable:
            refused += 1
        bench.clock.now += 1.0
    assert refused > 5
    await bench.execute(*TAKE_WRITES[kind])
    assert await bench.look(WORKER_LEASE_SECONDS - SUSPECT_SECONDS, good_renews=False) == []
    assert await bench.look(SUSPECT_SECONDS + 1) == ["op_silent"]
