"""The database goes away while a session runs, and comes back."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import create_postgresql_database
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import OPEN_GATES, SMALL

OUTAGE_SECONDS = 6.0


def set_connections(server: str, name: str, *, allowed: bool) -> None:
    """Close one database to everybody, present connections included, or open it again."""

    async def run() -> None:
        connection = await asyncpg.connect(server)
        try:
            switch = str(allowed).lower()
            await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {switch}')
            if not allowed:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
                )
        finally:
            await connection.close()

    asyncio.run(run())


def unavailable(backend: Backend) -> bool:
    answer = backend.client.get("/ready")
    return answer.status_code == 503 and answer.json()["error"]["code"] == "DATABASE_UNAVAILABLE"


@pytest.mark.parametrize("phase", ["DESIGNING", "TRAINING", "BACKTESTING", "ASSESSING"])
def test_a_session_outlives_an_outage_in_any_phase(
    postgresql: str, sqlite_backend: BackendFactory, phase: str
) -> None:
    """The API answers 503 meanwhile; nothing is failed, nothing is run twice, and the session completes."""
    url = create_postgresql_database(postgresql)
    name = urlsplit(url).path.lstrip("/")
    backend = sqlite_backend(KTRDR_DATABASE_URL=url, **OPEN_GATES)
    backend.start()
    operation_id, _ = backend.trigger(seed=3, strategy=SMALL)
    backend.await_phase(phase)
    set_connections(postgresql, name, allowed=False)
    closed = time.monotonic()
    eventually(lambda: unavailable(backend), within=20.0, what="503 DATABASE_UNAVAILABLE")
    eventually(lambda: time.monotonic() - closed > OUTAGE_SECONDS, within=60.0, what="the outage's end")
    set_connections(postgresql, name, allowed=True)
    done = eventually(lambda: _ended(backend, operation_id), within=120.0, what=f"an end; {backend.log()}")
    assert (done, backend.operation(operation_id)["attempt"]) == ("COMPLETED", 1)
    assert backend.operation(f"{operation_id}.training")["attempt"] == 1


def _ended(backend: Backend, operation_id: str) -> str | None:
    answer = backend.client.get(f"/operations/{operation_id}")
    if answer.status_code != 200:
        return None
    status: str = answer.json()["data"]["status"]
    return status if status in ("COMPLETED", "FAILED", "CANCELLED") else None
