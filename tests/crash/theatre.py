"""Where the sessions of a crash run live: a home each, over SQLite or a PostgreSQL that can be crashed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.conftest import create_postgresql_database
from tests.crash import invariants
from tests.crash.research import Blow, Outcome, Plan, Research, boundaries, forget
from tests.crash.thinkers import Thinker, thinker_of
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import free_port
from tests.kills.server import Server

DATABASES = ("sqlite", "postgresql")
ORPHAN_SECONDS = 1.0


class Theatre:
    """Makes homes over one kind of database, runs one session in each, and removes them."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._folder = Path(tempfile.mkdtemp(prefix="ktrdr-crash-"))
        self._server = Server() if database == "postgresql" else None
        self._played = 0
        self.home = self._folder  # of the session that was played last

    def play(
        self,
        *,
        plan: Plan | None = None,
        blows: Sequence[Blow] = (),
        hash_seed: int = 0,
        thinker: str = "offline",
    ) -> Outcome:
        """One session under a plan of kills or under blows. Raises AssertionError with its home kept."""
        with thinker_of(thinker) as thinks:
            outcome, home = self._play(thinks, plan, blows, hash_seed)
        forget(home)
        return outcome

    def rehearse(self, thinker: str = "offline") -> tuple[Outcome, dict[str, list[str]]]:
        """The session that nothing kills, and the boundaries that it crosses."""
        with thinker_of(thinker) as thinks:
            outcome, home = self._play(thinks, None, (), 0)
        crossed = boundaries(home)
        forget(home)
        return outcome, crossed

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        with suppress(OSError):  # a home that was kept is looked into
            self._folder.rmdir()

    def _play(
        self, thinker: Thinker, plan: Plan | None, blows: Sequence[Blow], hash_seed: int
    ) -> tuple[Outcome, Path]:
        self._played += 1
        self.home = home = self._folder / f"home-{self._played}"
        url = self._url(home)
        environment = {"KTRDR_DATABASE_URL": url, "KTRDR_ORPHAN_HOURS": str(ORPHAN_SECONDS / 3600.0)}
        backend = Backend(home, free_port(), **environment, PYTHONHASHSEED=str(hash_seed))
        research = Research(backend, thinker, plan=plan, blows=blows, crash_database=self._crash)
        try:
            outcome = research.drive()
            research.outliving(lambda: self._swept(backend))
            backend.stop()
            invariants.check(url, home)
            outcome.paid = thinker.paid(url, outcome.kills, outcome.shown_usd)
        except AssertionError as failed:
            failed.add_note(f"killed: {research.kills()}; kept in {home}")
            raise
        finally:
            backend.close()
        if self._server is not None:  # a recovery syncs every file of every database
            self._server.drop(url)
        return outcome, home

    def _url(self, home: Path) -> str:
        if self._server is None:
            return f"sqlite+aiosqlite:///{home / 'ktrdr.db'}"
        return create_postgresql_database(self._server.address)

    def _swept(self, backend: Backend) -> bool:
        """What a killed writer left behind is an orphan, and a cleanup's to remove."""
        made = max(one.stat().st_mtime for one in (backend.home / "artifacts").glob("*/*"))
        due = made + 2 * ORPHAN_SECONDS
        eventually(lambda: time.time() > due, within=10.0, what="the age of an orphan")
        answer = backend.client.post("/checkpoints/cleanup", json={})
        assert answer.status_code == 200, answer.text
        return True

    def _crash(self) -> None:
        assert self._server is not None, "SQLite has no process of its own"
        self._server.crash()
        self._server.start()
