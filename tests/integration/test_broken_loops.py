"""A backend one of whose loops has failed looks alive and is not: it ends, for whoever restarts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from tests.conftest import create_postgresql_database
from tests.integration.backend import Backend, eventually


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_backend_whose_loop_fails_ends_with_status_1(
    postgresql: str, sqlite_backend: Callable[..., Backend]
) -> None:
    """A missing table is no outage that passes: it says so and goes; put back, the next start is as ever."""
    url = create_postgresql_database(postgresql)
    backend = sqlite_backend(KTRDR_DATABASE_URL=url)
    backend.start()
    execute(url, "ALTER TABLE backend_instances RENAME TO away")
    process = backend.process
    assert process is not None
    eventually(lambda: process.poll() is not None, within=20.0, what="its end")
    assert process.returncode == 1
    assert "the instance lock failed: this backend ends" in (backend.home / "backend.log").read_text()
    execute(url, "ALTER TABLE away RENAME TO backend_instances")
    backend.start()
