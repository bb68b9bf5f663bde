"""One transaction a use case, with every repository inside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.persistence.budgets import Budgets
from ktrdr.persistence.calls import Calls
from ktrdr.persistence.campaigns import Campaigns
from ktrdr.persistence.checkpoints import Checkpoints
from ktrdr.persistence.engine import create_engines
from ktrdr.persistence.events import Events
from ktrdr.persistence.forks import Forks
from ktrdr.persistence.hypotheses import Hypotheses
from ktrdr.persistence.instances import Instances
from ktrdr.persistence.ledger import Ledger
from ktrdr.persistence.migrations import HEAD, upgrade
from ktrdr.persistence.operations import Operations
from ktrdr.persistence.orphans import Orphans
from ktrdr.persistence.queue import Queue
from ktrdr.persistence.resumes import Resumes
from ktrdr.persistence.retention import Retention
from ktrdr.persistence.sessions import Sessions
from ktrdr.persistence.starts import Starts
from ktrdr.persistence.tables import db_now

_MIGRATION_LOCK = 0x6B7474  # backends that start together migrate one after the other


@dataclass(frozen=True)
class Transaction:
    """The repositories over one open transaction."""

    connection: AsyncConnection
    operations: Operations
    queue: Queue
    orphans: Orphans
    events: Events
    checkpoints: Checkpoints
    sessions: Sessions
    ledger: Ledger
    instances: Instances
    retention: Retention
    resumes: Resumes
    forks: Forks
    starts: Starts
    calls: Calls
    budgets: Budgets
    hypotheses: Hypotheses
    campaigns: Campaigns

    @classmethod
    def over(cls, connection: AsyncConnection) -> Transaction:
        return cls(
            connection,
            Operations(connection),
            Queue(connection),
            Orphans(connection),
            Events(connection),
            Checkpoints(connection),
            Sessions(connection),
            Ledger(connection),
            Instances(connection),
            Retention(connection),
            Resumes(connection),
            Forks(connection),
            Starts(connection),
            Calls(connection),
            Budgets(connection),
            Hypotheses(connection),
            Campaigns(connection),
        )

    async def now(self) -> float:
        """The database's clock, in seconds."""
        return (await self.connection.execute(select(db_now()))).scalar_one()


class Database:
    """The only truth. Bound to the event loop it is first used on."""

    def __init__(self, url: str) -> None:
        self._shown = make_url(url).render_as_string(hide_password=True)
        self._write, self._read = create_engines(url)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All of it is committed, or, when the block raises, none of it."""
        async with self._begin(self._write) as tx:
            yield tx

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A consistent look; writes inside are a mistake."""
        async with self._begin(self._read) as tx:
            yield tx

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[Transaction]:
        entered = False
        try:
            async with engine.begin() as connection:
                entered = True
                yield Transaction.over(connection)
        except (OperationalError, InterfaceError, PoolTimeout, ConnectionError) as error:
            raise self._unavailable(error) from error
        except (DBAPIError, OSError) as error:
            # Before the block, whatever went wrong is the database's; inside it may be the caller's own.
            lost = getattr(error, "connection_invalidated", False) or _in_trouble(error)
            if entered and not lost:
                raise
            raise self._unavailable(error) from error

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait, bounded, for the database to accept a connection. Raises DatabaseUnavailable."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                async with self.read() as tx:
                    await tx.connection.execute(text("SELECT 1"))
                return
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.25)

    async def migrate(self) -> None:
        """Bring the schema to this code's version. Raises RefusedToStart when it is a newer one's."""
        if await self._version() == HEAD:
            return
        async with self.transaction() as tx:
            if tx.connection.dialect.name == "postgresql":  # SQLite's one writer needs no lock
                await tx.connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await tx.connection.run_sync(upgrade)

    async def close(self) -> None:
        await self._write.dispose()
        if self._read is not self._write:
            await self._read.dispose()

    async def _version(self) -> str | None:
        try:
            async with self._read.connect() as connection:
                version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
                return None if version is None else str(version)
        except (ProgrammingError, OperationalError):  # no such table: a new database
            return None

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        cause = str(getattr(error, "orig", None) or error).splitlines()
        return DatabaseUnavailable(
            f"The database {self._shown} can't be used ({cause[0] if cause else type(error).__name__}). "
            f"{_remedy(error)}; what runs goes on meanwhile."
        )


def _in_trouble(error: BaseException) -> bool:
    """A server that answers and can't do its work: its disk, its memory, or whoever stops it."""
    return _sqlstate(error)[:2] in ("53", "57", "58") or _sqlstate(error) == "25006"  # read-only


def _remedy(error: BaseException) -> str:
    """What to do about it."""
    said = str(getattr(error, "orig", None) or error)
    if _sqlstate(error) == "53100" or "disk is full" in said or "disk I/O" in said:
        return "Free space on its disk"
    if _sqlstate(error) == "25006" or "readonly" in said:
        return "Make it writable"
    return "Start it or correct KTRDR_DATABASE_URL"


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
