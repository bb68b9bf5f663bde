"""A statement in SQLite is one trip to the connection's thread, and says what its cursor would have said."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ktrdr.persistence.one_trip import Connection, connect

pytestmark = pytest.mark.anyio


class Counted(Connection):
    """A connection that counts its trips."""

    trips = 0

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.trips += 1
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Counted]:
    one = connect(str(tmp_path / "one.db"), isolation_level=None)
    one.__class__ = Counted
    opened = await one
    assert isinstance(opened, Counted)
    await opened.cursor().execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    await opened.cursor().executemany("INSERT INTO numbers VALUES (?)", [(one,) for one in range(5)])
    yield opened
    await opened.close()


async def test_a_statement_and_its_rows_are_one_trip(connection: Counted) -> None:
    before = connection.trips
    cursor = await connection.cursor().execute("SELECT number FROM numbers WHERE number > ?", (2,))
    assert await cursor.fetchall() == [(3,), (4,)]
    await cursor.close()
    assert cursor.description[0][0] == "number"
    assert connection.trips == before + 1


async def test_what_a_returning_changed_is_counted(connection: Counted) -> None:
    """The count of a guarded UPDATE decides who won: SQLite knows it only behind the last row."""
    cursor = connection.cursor()
    await cursor.execute("UPDATE numbers SET number = number + 10 WHERE number > 2 RETURNING number")
    assert (cursor.rowcount, await cursor.fetchall()) == (2, [(13,), (14,)])


async def test_a_statement_without_rows_has_none_of_the_one_before(connection: Counted) -> None:
    cursor = connection.cursor()
    await cursor.execute("SELECT number FROM numbers")
    await cursor.execute("DELETE FROM numbers WHERE number = 1")
    assert (cursor.description, cursor.rowcount, await cursor.fetchall()) == (None, 1, [])


async def test_a_refused_statement_raises_and_the_next_one_works(connection: Counted) -> None:
    cursor = connection.cursor()
    with pytest.raises(sqlite3.IntegrityError):
        await cursor.execute("INSERT INTO numbers VALUES (1)")
    await cursor.execute("INSERT INTO numbers VALUES (5)")
    assert cursor.lastrowid == 5
