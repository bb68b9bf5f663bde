"""A backend claims sessions as long as its name is its own."""

from __future__ import annotations

import asyncio

import pytest

from ktrdr.agents.supervisor import SessionSupervisor
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import OperationType, Status
from ktrdr.domain.sessions import GateThresholds
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import Away, get, insert

pytestmark = pytest.mark.anyio


async def test_who_lost_the_name_claims_nothing(database: Database) -> None:
    """What a successor resumed is PENDING for an instant, and of the name that both have."""
    await insert(database, "op_1", OperationType.AGENT_RESEARCH, is_backend_local=True, owner="me")
    async with database.transaction() as tx:
        await tx.instances.acquire("me", "successor", 15.0)
    catalog, thresholds = Catalog(None), GateThresholds(0.0, -10.0, 1.0, 0)
    woken = SessionSupervisor(database, "me", thresholds, catalog, holder="stopped for long")
    successor = SessionSupervisor(database, "me", thresholds, catalog, holder="successor")

    async def run(one: SessionSupervisor, until: Status) -> None:
        running = asyncio.create_task(one.run())
        while (await get(database, "op_1")).status is not until:
            await asyncio.wait([running], timeout=0.05)
        await one.stop()
        await running

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run(woken, Status.FAILED), 0.5)
    assert (await get(database, "op_1")).status is Status.PENDING
    await asyncio.wait_for(run(successor, Status.FAILED), 5.0)  # claimed; it has no checkpoint


@pytest.mark.parametrize("committed", [True, False])
async def test_a_claim_whose_answer_is_lost_is_run(
    database: Database, database_url: str, committed: bool
) -> None:
    """Whether it was committed or not, the operation is claimed once and does not stay RUNNING for ever."""
    await insert(database, "op_1", OperationType.AGENT_RESEARCH, is_backend_local=True, owner="me")
    async with database.transaction() as tx:
        await tx.instances.acquire("me", "holder", 15.0)
    away = Away(database_url, committed)
    catalog, thresholds = Catalog(None), GateThresholds(0.0, -10.0, 1.0, 0)
    supervisor = SessionSupervisor(away, "me", thresholds, catalog, holder="holder")
    running = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(10.0):
            while (await get(database, "op_1")).status is not Status.FAILED:  # it has no checkpoint
                await asyncio.sleep(0.05)
    finally:
        await supervisor.stop()
        await running
        await away.close()
    assert (await get(database, "op_1")).attempt == 1
