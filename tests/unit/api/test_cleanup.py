"""The cleanup that comes by itself, and what a cleanup is asked over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from ktrdr.api import errors
from ktrdr.api.cleanup import PeriodicCleanup
from ktrdr.api.routes import checkpoints
from ktrdr.api.services import retention_service
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.retention_service import DAY_SECONDS, HOUR_SECONDS, RetentionService
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.operations import Event
from ktrdr.persistence.tables import db_now, operations
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, running

pytestmark = pytest.mark.anyio
SECONDS = 10.0  # the bound of every wait


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Database]:
    """A database without its tables yet."""
    one = Database(f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}")
    yield one
    await one.close()


@pytest.fixture
async def database(empty: Database) -> Database:
    await empty.migrate()
    return empty


@pytest.fixture
async def api(tmp_path: Path, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    errors.install(app)
    service = CheckpointsService(database, tmp_path / "artifacts")
    app.include_router(checkpoints.router(service, service_of(database, tmp_path)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def service_of(database: Database, home: Path) -> RetentionService:
    return RetentionService(database, home / "artifacts", checkpoint_days=30.0, orphan_hours=1.0)


async def stopped(database: Database, operation_id: str, *, days: float) -> None:
    attempt = await running(database, operation_id)
    async with database.transaction() as tx:
        await tx.checkpoints.save(operation_id, attempt, CheckpointType.FAILURE, {}, None, FINGERPRINT)
        assert await tx.operations.finish(operation_id, attempt, Event.FAIL)
        await tx.connection.execute(
            update(operations)
            .where(operations.c.operation_id == operation_id)
            .values(updated_at=db_now() - days * DAY_SECONDS)
        )


async def left(database: Database) -> list[str]:
    async with database.read() as tx:
        return sorted(one.operation_id for one in await tx.checkpoints.list())


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await look():
            await asyncio.sleep(0.01)


async def test_it_sweeps_again_and_again_until_it_is_stopped(database: Database, tmp_path: Path) -> None:
    """First soon after the start, then at its own pace."""
    cleanup = PeriodicCleanup(service_of(database, tmp_path), hours=0.02 / HOUR_SECONDS, first_seconds=0.0)
    task = asyncio.create_task(cleanup.run())
    for operation_id in ("op_1", "op_2"):
        await stopped(database, operation_id, days=31.0)

        async def gone() -> bool:
            return await left(database) == []

        await until(gone)
    cleanup.stop()
    await asyncio.wait_for(task, SECONDS)


async def test_a_sweep_that_left_something_is_followed_by_another_soon(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand old checkpoints are not there for days because a sweep is bounded."""
    monkeypatch.setattr(retention_service, "MAX_FAMILIES", 1)
    for number in range(3):
        await stopped(database, f"op_{number}", days=31.0)
    cleanup = PeriodicCleanup(service_of(database, tmp_path), hours=6.0, first_seconds=0.01)
    task = asyncio.create_task(cleanup.run())

    async def gone() -> bool:
        return await left(database) == []

    await until(gone)
    cleanup.stop()
    await asyncio.wait_for(task, SECONDS)


async def test_a_sweep_without_a_database_is_left_to_the_next(empty: Database, tmp_path: Path) -> None:
    service = service_of(empty, tmp_path)
    cleanup = PeriodicCleanup(service, hours=0.02 / HOUR_SECONDS, first_seconds=0.0)
    task = asyncio.create_task(cleanup.run())
    await asyncio.sleep(0.1)
    assert not task.done(), "no tables yet"
    await empty.migrate()

    async def swept() -> bool:
        return (await service.statistics()).last_cleanup is not None

    await until(swept)
    cleanup.stop()
    await asyncio.wait_for(task, SECONDS)


async def test_a_cleanup_needs_no_body_and_says_what_it_freed(
    api: httpx.AsyncClient, database: Database
) -> None:
    await stopped(database, "op_1", days=31.0)
    await stopped(database, "op_2", days=29.0)
    answer = await api.post("/checkpoints/cleanup")
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"]
    assert told.pop("at").endswith("+00:00")
    assert told == {
        "older_than_days": 30.0,
        "dry_run": False,
        "deleted": ["op_1"],
        "orphans": [],
        "freed_bytes": 0,
        "more": False,
    }
    found = (await api.get("/checkpoints/statistics")).json()["data"]
    assert (found["checkpoints"], found["resumable"], found["expired"]) == (1, 1, 0)
    assert (found["checkpoint_days"], found["orphan_hours"]) == (30.0, 1.0)
    assert found["last_cleanup"]["deleted"] == ["op_1"]


async def test_a_dry_run_over_http_deletes_nothing(api: httpx.AsyncClient, database: Database) -> None:
    await stopped(database, "op_1", days=1.0)
    answer = await api.post("/checkpoints/cleanup", json={"older_than_days": 0, "dry_run": True})
    assert answer.json()["data"]["deleted"] == ["op_1"]
    assert await left(database) == ["op_1"]


@pytest.mark.parametrize(
    "body",
    ['{"older_than_days": -1}', '{"older_than_days": NaN}', '{"older_than_days": 1e9}', '{"days": 1}', "[]"],
)
async def test_bad_input_deletes_nothing(api: httpx.AsyncClient, database: Database, body: str) -> None:
    await stopped(database, "op_1", days=99.0)
    headers = {"content-type": "application/json"}
    answer = await api.post("/checkpoints/cleanup", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert await left(database) == ["op_1"]
