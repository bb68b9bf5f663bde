"""aiosqlite with one trip to the connection's thread for each statement, where its own cursor makes four.

A trip takes longer than SQLite does for most statements, and a transaction holds the only writer meanwhile.
There are no server-side cursors: nothing here reads more rows than it keeps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite

Execute = Callable[[sqlite3.Cursor], Any]


class Cursor:
    """Makes a cursor, executes, fetches all and closes in one go; what is asked for later is here already."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Cursor:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        return await self._run(lambda cursor: cursor.execute(sql, parameters))

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Cursor:
        return await self._run(lambda cursor: cursor.executemany(sql, parameters))

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """It is closed already."""

    async def _run(self, execute: Execute) -> Cursor:
        await self._connection._execute(self._at_once, execute)  # type: ignore[no-untyped-call]
        return self

    def _at_once(self, execute: Execute) -> None:
        """On the connection's own thread."""
        cursor = self._connection._conn.cursor()
        try:
            execute(cursor)
            self._rows = [] if cursor.description is None else cursor.fetchall()
            # After the rows: a RETURNING has changed only as many as were fetched.
            self.description, self.rowcount = cursor.description, cursor.rowcount
            self.lastrowid = cursor.lastrowid
        finally:
            cursor.close()


class Connection(aiosqlite.Connection):
    """What SQLAlchemy's adapter asks for cursors."""

    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)


def connect(database: str, **options: Any) -> Connection:
    """A connection to be awaited; its thread does not keep a process alive."""
    connection = Connection(partial(sqlite3.connect, database, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
