"""The migrations lead to the tables that the code has, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from ktrdr.persistence import migrations
from ktrdr.persistence.migrations import HEAD
from ktrdr.persistence.tables import metadata
from ktrdr.persistence.unit_of_work import Database

pytestmark = pytest.mark.anyio


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_migrated_schema_is_that_of_the_code(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == HEAD
        return list(compare_metadata(context, metadata))

    async with database.transaction() as tx:
        assert await tx.connection.run_sync(differences) == []


async def test_the_partial_indexes_are_there(database: Database) -> None:
    """Alembic compares names and columns, not the WHERE of an index."""

    def partial(connection: Connection) -> dict[str, str]:
        return {
            str(one["name"]): str(one["dialect_options"].get(f"{connection.dialect.name}_where"))
            for one in inspect(connection).get_indexes("operations")
        }

    async with database.transaction() as tx:
        found = await tx.connection.run_sync(partial)
    assert "PENDING" in found["ix_operations_pending"]
    assert "RUNNING" in found["ix_operations_running"]


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await database.migrate()
    async with database.read() as tx:
        assert await tx.operations.list() == []


async def test_rows_of_the_first_schema_keep_their_turn(database_url: str, anyio_backend: str) -> None:
    """An upgrade finds operations that wait: first come, first served still means when they came."""

    def first(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    database = Database(database_url)
    async with database.transaction() as tx:
        await tx.connection.run_sync(first)
        for name, created in (("op_2", 200.0), ("op_1", 100.0)):
            await tx.connection.execute(
                text(
                    "INSERT INTO operations (operation_id, operation_type, status, is_backend_local, request,"
                    " attempt, progress_percent, progress_message, created_at, updated_at)"
                    " VALUES (:name, 'training', 'PENDING', false, '{}', 0, 0, '', :created, :created)"
                ),
                {"name": name, "created": created},
            )
    await database.migrate()
    async with database.read() as tx:
        waiting = await tx.queue.waiting(10)
        assert [(one.operation_id, one.queued_at) for one in waiting] == [("op_1", 100.0), ("op_2", 200.0)]
        assert await tx.queue.positions(["op_2"]) == {"op_2": 2}
    await database.close()
