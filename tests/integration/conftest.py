"""Backends over both databases, each in a home of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.backend import Backend
from tests.integration.trainings import STEADY, begin

BackendFactory = Callable[..., Backend]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def backend(tmp_path: Path, database_url: str) -> Iterator[Backend]:
    """A running backend; run once over SQLite and once over PostgreSQL."""
    one = Backend(tmp_path / "home", free_port(), KTRDR_DATABASE_URL=database_url)
    one.start()
    yield one
    one.close()


@pytest.fixture
def sqlite_backend(tmp_path: Path) -> Iterator[BackendFactory]:
    """Makes backends over the default SQLite file; for what does not depend on the database."""
    made: list[Backend] = []

    def make(home: str = "home", **environment: str) -> Backend:
        made.append(Backend(tmp_path / home, free_port(), **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def whole_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What STEADY's weights are when nothing interrupts it."""
    one = Backend(tmp_path_factory.mktemp("whole"), free_port())
    try:
        one.start()
        done = one.await_status(begin(one, STEADY), "COMPLETED")
        return str(done["result"]["weights_sha256"])
    finally:
        one.close()
