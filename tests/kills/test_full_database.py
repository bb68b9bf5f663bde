"""The disk of the database is full: SQLite's own file can be read and not written."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ktrdr.domain.operations import WORKER_LEASE_SECONDS
from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import free_port
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.integration.trainings import (
    ENDLESS,
    SEED,
    await_completed,
    await_epoch,
    begun,
    epoch_of,
    worker_of,
)
from tests.kills.disks import SmallDisk, limit_files


class Case:
    """A backend whose database, and with `limited` everything it writes, gets into trouble and out of it."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.disk = SmallDisk(directory / "database") if kind == "full" else None
        self.backend = Backend(
            directory / "home",
            free_port(),
            KTRDR_DATABASE_URL=f"sqlite+aiosqlite:///{directory}/database/ktrdr.db",
            KTRDR_WORKER_SLOTS="2",
            **OPEN_GATES,
        )

    def begin_trouble(self) -> None:
        if self.disk is None:
            self._limit(4096)
        else:
            self.disk.fill()

    def end_trouble(self) -> None:
        if self.disk is None:
            self._limit(None)
        else:
            self.disk.free()

    def _limit(self, size: int | None) -> None:
        assert self.backend.process is not None
        for process in (psutil.Process(self.backend.process.pid), *workers_of(self.backend.home)):
            limit_files(process, size)

    def close(self) -> None:
        self.backend.close()
        if self.disk is not None:
            self.disk.close()


@pytest.fixture(params=["full", "limited"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    one = Case(tmp_path, request.param)
    try:
        one.backend.start()
        yield one
    finally:
        one.close()


def start_training(backend: Backend) -> httpx.Response:
    body = {"strategy": ENDLESS, "dataset": "nasdaq", "seed": SEED}
    return backend.client.post("/training/start", json=body, timeout=60.0)


@pytest.mark.timeout(400)
def test_what_runs_waits_and_goes_on_when_there_is_space_again(case: Case) -> None:
    """503 with what to do meanwhile; longer than a lease, no healthy worker is called dead, not even one
    that needs seconds to come back; all is attempt 1."""
    backend = case.backend
    training = begun(backend, ENDLESS)
    worker = worker_of(backend, training)
    session = _session(backend) if case.disk is not None else None  # its results need room of their own
    case.begin_trouble()
    since = time.monotonic()

    def refused() -> httpx.Response | None:
        answer = start_training(backend)
        if answer.status_code == 503:
            return answer
        backend.client.post(f"/operations/{answer.json()['data']['operation_id']}/cancel")
        return None  # it still fitted into pages that were there

    error = eventually(refused, within=60.0, what="503").json()["error"]
    assert error["code"] == "DATABASE_UNAVAILABLE"
    assert "Free space on its disk" in error["message"]
    eventually(
        lambda: time.monotonic() - since > WORKER_LEASE_SECONDS + 15.0, within=60.0, what="a lease time"
    )
    assert start_training(backend).status_code == 503
    found = backend.get("/operations")
    assert all(one["status"] != "FAILED" for one in found), "it can be read from, and tells no lie"

    worker.send_signal(signal.SIGSTOP)
    case.end_trouble()
    freed = time.monotonic()
    eventually(lambda: time.monotonic() - freed > 3.0, within=10.0, what="three seconds")
    worker.send_signal(signal.SIGCONT)
    if session is not None:
        await_completed(backend, session, within=200.0)
        for one in (session, *(f"{session}.{name}" for name in ("training", "backtesting", "holdout"))):
            assert backend.operation(one)["attempt"] == 1
    going = backend.operation(training)
    assert (going["status"], going["attempt"]) == ("RUNNING", 1), going["error_message"]
    await_epoch(backend, training, after=epoch_of(going))


def _session(backend: Backend) -> str:
    """One that is in its training."""
    session, _ = backend.trigger(seed=3, strategy=SMALL)
    backend.await_status(f"{session}.training", "RUNNING")
    return session
