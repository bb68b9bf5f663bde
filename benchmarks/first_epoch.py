"""From POST /training/start to the first epoch in the row, against the floor of any worker.

The floor is a bare process that imports torch and claims a PENDING operation. Both are measured in turn
in the same rounds, on SQLite. Prints the medians and their ratio; exits with 1 when it is above the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.first_epoch_floor import CLAIMED
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.persistence.unit_of_work import Database

ROUNDS = 9
LIMIT = 1.3
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.005
STRATEGY = Path(__file__).parents[1] / "docs" / "strategies" / "momentum_demo.yaml"


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KTRDR_")}
    # What a worker sets for itself: the floor must not be slower for want of it.
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    return {**kept, **threads, "KTRDR_HOME": str(home), **more}


@contextlib.contextmanager
def backend(home: Path) -> Iterator[httpx.Client]:
    """A backend on a port of its own, ready."""
    home.mkdir()
    with (home / "backend.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ktrdr.api"],
            env=environment(home, KTRDR_PORT="0", KTRDR_WORKER_SLOTS="2"),  # the last one may still exit
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=_address(home), timeout=15.0) as client:
            _await_ready(client)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30.0)


def _address(home: Path) -> str:
    """Where the backend says that it is going to listen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        said = (home / "backend.log").read_text()
        if "serves http://" in said:
            return said.split("serves ")[1].split()[0] + "/api/v1/"
        time.sleep(0.05)
    raise TimeoutError((home / "backend.log").read_text())


def _await_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if client.get("ready").status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError("the backend is not ready")


def first_epoch(client: httpx.Client, rows: sqlite3.Connection, strategy: dict[str, Any]) -> float:
    """Seconds from the request to an epoch in the row; the training is then cancelled and has ended."""
    begun = time.perf_counter()
    answer = client.post("training/start", json={"strategy": strategy, "dataset": "nasdaq", "seed": 1})
    operation_id = answer.json()["data"]["operation_id"]
    await_row(rows, operation_id, "json_extract(progress, '$.epoch') >= 1")
    seconds = time.perf_counter() - begun
    client.post(f"operations/{operation_id}/cancel")
    await_row(rows, operation_id, "status = 'CANCELLED'")
    return seconds


def await_row(rows: sqlite3.Connection, operation_id: str, condition: str) -> None:
    """Look at the row itself: the backend that is measured has nothing to answer meanwhile."""
    query = f"SELECT {condition} FROM operations WHERE operation_id = ?"  # noqa: S608 - two constants
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        (found,) = rows.execute(query, (operation_id,)).fetchone()
        if found:
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{operation_id}: {condition} was not seen in {PATIENCE_SECONDS} s")


def floor(home: Path, number: int) -> float:
    """Seconds from the start of the bare process to its claim."""
    operation_id = f"floor_{number}"
    url = f"sqlite+aiosqlite:///{home / 'ktrdr.db'}"
    asyncio.run(_insert(url, operation_id))
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.first_epoch_floor", url, operation_id],
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    seconds = time.perf_counter() - begun
    process.communicate()
    assert (said, process.returncode) == (CLAIMED, 0)
    return seconds


async def _insert(url: str, operation_id: str) -> None:
    database = Database(url)
    await database.migrate()
    async with database.transaction() as tx:
        await tx.operations.insert_if_absent(NewOperation(operation_id, OperationType.TRAINING, {}))
    await database.close()


def main() -> int:
    written = yaml.safe_load(STRATEGY.read_text(encoding="utf-8"))
    strategy = json.loads(json.dumps(written, default=str))  # YAML has dates, JSON has not
    bare: list[float] = []
    whole: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "backend"
        with backend(home) as client, contextlib.closing(sqlite3.connect(home / "ktrdr.db")) as rows:
            for number in range(ROUNDS + 1):  # a first round is not counted
                for step in ("bare", "whole") if number % 2 else ("whole", "bare"):
                    if step == "bare":
                        bare.append(floor(Path(scratch) / "bare", number))
                    else:
                        whole.append(first_epoch(client, rows, strategy))
    least, found = statistics.median(bare[1:]), statistics.median(whole[1:])
    ratio = found / least
    print(
        f"first epoch: {ROUNDS} rounds, a process that imports torch and claims {least:.2f} s, "
        f"request to the first epoch in the row {found:.2f} s, ratio {ratio:.2f} (limit {LIMIT:.1f})"
    )
    return 1 if ratio > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
