"""Who may have a backend's name when another seems to hold it, and what becomes of who lost it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from ktrdr.api.instance import LEASE_SECONDS, InstanceLock
from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.domain.errors import RefusedToStart
from ktrdr.domain.operations import OperationType, Status
from ktrdr.persistence.tables import instances
from ktrdr.persistence.unit_of_work import Database
from ktrdr.processes import process_reference
from tests.contract.support import get, insert

pytestmark = pytest.mark.anyio

ELSEWHERE = "local:elsewhere:1:1@00000000"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of this test are watched for tenths of seconds."""
    monkeypatch.setattr("ktrdr.api.instance.MISSED_SECONDS", 0.3)
    monkeypatch.setattr("ktrdr.api.instance.RENEW_SECONDS", 0.1)
    monkeypatch.setattr("ktrdr.api.instance.WATCH_SECONDS", 0.1)


@pytest.fixture
def here() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this host."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGSTOP, and wait until it has stopped."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


async def held(database: Database, holder: str, seconds_left: float) -> None:
    async with database.transaction() as tx:
        assert await tx.instances.acquire("me", holder, seconds_left) is None


async def set_clock_by(database: Database, seconds: float) -> None:
    """As if the database's clock had been set forward by that much since the lease was written."""
    async with database.transaction() as tx:
        await tx.connection.execute(
            update(instances).values(lease_expires_at=instances.c.lease_expires_at - seconds)
        )


async def holder_of(database: Database) -> str | None:
    async with database.read() as tx:
        found: str | None = await tx.connection.scalar(
            instances.select().with_only_columns(instances.c.holder)
        )
        return found


async def test_a_dead_process_of_this_host_is_succeeded_at_once(
    database: Database, here: subprocess.Popen[bytes]
) -> None:
    """However long its lease has to run."""
    await held(database, process_reference(here.pid), 3600.0)
    here.kill()
    here.wait()
    lock = InstanceLock(database, "me")
    await asyncio.wait_for(lock.acquire(), 1.0)
    assert await holder_of(database) == lock.holder


async def test_a_process_of_this_host_that_serves_is_left_alone_at_once(
    database: Database, here: subprocess.Popen[bytes]
) -> None:
    await held(database, process_reference(here.pid), LEASE_SECONDS)
    with pytest.raises(RefusedToStart, match=rf"already running \(process {here.pid} on "):
        await asyncio.wait_for(InstanceLock(database, "me").acquire(), 1.0)


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["forward", "back"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_holder_that_renews_is_left_alone_although_the_clock_was_set(
    database: Database, here: subprocess.Popen[bytes], where: str, jump: float
) -> None:
    """Right after a jump its lease is an hour old, or an hour too long; then it renews."""
    holder = process_reference(here.pid) if where == "here" else ELSEWHERE
    await held(database, holder, LEASE_SECONDS)
    await set_clock_by(database, jump)
    starting = asyncio.create_task(InstanceLock(database, "me").acquire())
    await asyncio.wait([starting], timeout=0.15)
    await held(database, holder, LEASE_SECONDS)
    with pytest.raises(RefusedToStart):
        await asyncio.wait_for(starting, 2.0)
    assert await holder_of(database) == holder


@pytest.mark.parametrize("jump", [0.0, 3600.0, -3600.0], ids=["clock kept", "forward", "back"])
async def test_a_holder_elsewhere_that_renews_no_more_is_succeeded(
    database: Database, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A container that was replaced: its lease of an hour ahead keeps nobody waiting for an hour."""
    monkeypatch.setattr("ktrdr.api.instance.LEASE_SECONDS", 0.5)
    await held(database, ELSEWHERE, LEASE_SECONDS)
    await set_clock_by(database, jump)
    lock = InstanceLock(database, "me")
    await asyncio.wait_for(lock.acquire(), 5.0)
    assert await holder_of(database) == lock.holder


async def test_a_stopped_process_is_succeeded_and_ends_when_it_wakes(
    database: Database, here: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP: it can't renew, and what it would write later is fenced."""
    monkeypatch.setattr("ktrdr.api.instance.LEASE_SECONDS", 0.5)
    stop(here)
    await held(database, process_reference(here.pid), 10.0)
    successor = InstanceLock(database, "me")
    await asyncio.wait_for(successor.acquire(), 5.0)
    woken = InstanceLock(database, "me")
    woken.holder = process_reference(here.pid)
    await asyncio.wait_for(woken.keep(), 1.0)
    assert woken.lost
    await woken.release()
    assert await holder_of(database) == successor.holder, "it releases only what is its own"


async def test_a_row_that_was_removed_by_hand_is_written_again(database: Database) -> None:
    lock = InstanceLock(database, "me")
    await lock.acquire()
    keeping = asyncio.create_task(lock.keep())
    async with database.transaction() as tx:
        await tx.instances.release("me", lock.holder)
    while await holder_of(database) is None:
        await asyncio.wait([keeping], timeout=0.02)
    lock.stop()
    await keeping
    assert not lock.lost


@pytest.mark.parametrize("age", [0.0, 3600.0], ids=["in time", "an hour old"])
async def test_an_instance_that_looks_abandoned_is_given_the_time_to_renew(
    database: Database, age: float
) -> None:
    """Its lease is an hour old since the clock was set just now: its sessions are not failed for that."""
    await insert(database, "op_1", OperationType.AGENT_RESEARCH, is_backend_local=True, owner="other")
    async with database.transaction() as tx:
        assert await tx.instances.acquire("other", ELSEWHERE, LEASE_SECONDS) is None
    await set_clock_by(database, age)
    lock = InstanceLock(database, "me")
    waiting = asyncio.create_task(lock.let_others_renew())
    await asyncio.wait([waiting], timeout=0.2)
    assert waiting.done() == (age == 0.0)
    async with database.transaction() as tx:
        assert await tx.instances.acquire("other", ELSEWHERE, LEASE_SECONDS) is None
    await asyncio.wait_for(waiting, 2.0)
    await StartupReconciliation(database, "me", lock.holder).reconcile()
    assert (await get(database, "op_1")).status is Status.PENDING
