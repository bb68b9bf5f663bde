"""Engines for SQLite and PostgreSQL, with what was measured to be needed on each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from ktrdr.persistence.one_trip import connect

BUSY_MILLISECONDS = 15_000


def create_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """(write, read). SQLite writes through one connection, each transaction BEGIN IMMEDIATE:
    a DEFERRED one that reads and then writes is refused at once, whatever the timeout."""
    if make_url(url).get_backend_name() != "sqlite":
        engine = _postgresql(url)
        return engine, engine
    _create_closed(Path(str(make_url(url).database)))
    return _sqlite(url, "BEGIN IMMEDIATE", 1), _sqlite(url, "BEGIN", 4)


def _postgresql(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=5, connect_args={"timeout": 5})

    @event.listens_for(engine.sync_engine, "checkout")
    def _renew(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        """A server that has gone has closed its end, and the event loop has seen it. SQLAlchemy's pre-ping
        asks the server, which is three trips before each transaction."""
        if record.driver_connection.is_closed():  # type: ignore[union-attr]
            raise InvalidatePoolError

    return engine


def _sqlite(url: str, begin: str, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"async_creator_fn": connect},
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=60,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be a DEFERRED one
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_MILLISECONDS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _create_closed(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
