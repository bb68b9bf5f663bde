"""The database as a whole: whose failure is whose, and who may start on it."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.errors import DatabaseUnavailable, RefusedToStart
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import FINGERPRINT, get, insert, requeue, running

pytestmark = pytest.mark.anyio

START = """
import asyncio, sys
from ktrdr.persistence.unit_of_work import Database

async def start():
    database = Database(sys.argv[1])
    await database.migrate()
    await database.close()

asyncio.run(start())
print("alembic" in sys.modules)
"""


async def start(database_url: str) -> tuple[int | None, str]:
    """A process of its own that migrates: its exit status, and whether it imported Alembic."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, database_url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    return child.returncode, output.decode().strip()


def spoil(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)


async def test_backends_that_start_together_migrate_once(database_url: str, anyio_backend: str) -> None:
    started = await asyncio.gather(*(start(database_url) for _ in range(4)))
    assert [status for status, _ in started] == [0, 0, 0, 0]


async def test_a_start_at_head_does_not_import_alembic(database: Database, database_url: str) -> None:
    """The start is timed, and there is nothing to migrate."""
    assert await start(database_url) == (0, "False")


async def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RefusedToStart, match="9999"):
        await database.migrate()
    async with database.read() as tx:
        assert await tx.connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


async def test_the_callers_own_failure_is_not_the_databases(database: Database) -> None:
    """A missing artifact inside a transaction is no outage: a retry would go on for ever."""

    async def use(error: OSError) -> None:
        async with database.transaction() as tx:
            await tx.operations.requeue("op_1", None)
            raise error

    with pytest.raises(FileNotFoundError):
        await use(FileNotFoundError(2, "No such file or directory", "model.safetensors"))
    assert await insert(database, "op_1"), "the next transaction is a good one"


async def test_a_database_that_is_not_there_is_unavailable(database_url: str) -> None:
    """Refused, misnamed or not a database at all: one error, and no password in its message."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        spoil(Path(str(url.database)))
    else:
        url = url.set(database="nowhere", password="secret")
    one = Database(url.render_as_string(hide_password=False))
    try:
        with pytest.raises(DatabaseUnavailable) as found:
            await one.wait_until_ready(0.0)
    finally:
        await one.close()
    assert "secret" not in found.value.message
    assert "KTRDR_DATABASE_URL" in found.value.message


async def test_a_severed_connection_fails_one_transaction(database: Database) -> None:
    """That one fails whole and says the database is away; the next one works."""

    async def severed() -> None:
        async with database.transaction() as tx:
            await tx.operations.insert_if_absent(NewOperation("op_1", OperationType.TRAINING, {}))
            if tx.connection.dialect.name == "postgresql":
                own = await tx.connection.scalar(text("SELECT pg_backend_pid()"))
                async with database.read() as other:
                    await other.connection.execute(text(f"SELECT pg_terminate_backend({own})"))
            else:
                raw = await tx.connection.get_raw_connection()
                assert raw.driver_connection is not None
                await raw.driver_connection.close()
            await tx.operations.requeue("op_1", None)

    with pytest.raises(DatabaseUnavailable):
        await severed()
    assert await insert(database, "op_1")


async def test_connections_severed_between_transactions_fail_none(database: Database) -> None:
    """A server that was restarted meanwhile: nobody was using it, so nobody is told."""
    async with database.read() as tx:
        if tx.connection.dialect.name == "sqlite":
            pytest.skip("a file severs nobody")
        async with database.read() as idle, database.read() as another:
            pids = [await one.connection.scalar(text("SELECT pg_backend_pid()")) for one in (idle, another)]
        for pid in pids:
            assert await tx.connection.scalar(text(f"SELECT pg_terminate_backend({pid}, 10000)"))
        async with database.read() as next_one, database.transaction() as last:
            for one in (next_one, last):
                assert await one.connection.scalar(text("SELECT pg_backend_pid()")) not in pids


async def test_a_cancelled_writer_holds_no_lock(database: Database) -> None:
    """In SQLite one writer that is never rolled back would stop every other for good."""
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as tx:
            await tx.operations.requeue("op_1", None)
            inside.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(hang(), name="writer")
    await asyncio.wait_for(inside.wait(), 10.0)
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    async with asyncio.timeout(10.0):
        assert await insert(database, "op_1")


async def test_completed_and_the_checkpoints_end_are_one_commit(database: Database) -> None:
    """Killed before the commit, both are as they were; after it, neither is."""
    attempt = await running(database, "op_1")
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_1", attempt, CheckpointType.PERIODIC, {}, None, FINGERPRINT)

    async def complete(*, killed: bool) -> None:
        async with database.transaction() as tx:
            assert await tx.operations.finish("op_1", attempt, Event.COMPLETE, result={})
            assert await tx.checkpoints.delete("op_1")
            if killed:
                raise RuntimeError("killed")

    async def seen() -> tuple[Status, bool]:
        async with database.read() as tx:
            found = await tx.checkpoints.get("op_1")
        return (await get(database, "op_1")).status, found is not None

    with pytest.raises(RuntimeError, match="killed"):
        await complete(killed=True)
    assert await seen() == (Status.RUNNING, True)
    await complete(killed=False)
    assert await seen() == (Status.COMPLETED, False)
    assert not await requeue(database, "op_1")


async def test_the_sqlite_file_is_its_owners(database: Database, database_url: str) -> None:
    """The write-ahead log beside it holds the same rows, and is closed to others too."""
    await insert(database, "op_1")
    if make_url(database_url).get_backend_name() == "sqlite":
        folder = Path(str(make_url(database_url).database)).parent
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.glob("ktrdr.db*")}
        assert set(modes.values()) == {0o600}, modes
