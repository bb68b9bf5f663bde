"""Backends over both databases, each in a home of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.backend import Backend

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
