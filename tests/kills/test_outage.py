"""The database server crashes for longer than a lease, and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training.loop import train
from ktrdr.training.problem import build_problem
from tests.conftest import create_postgresql_database
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.integration.trainings import await_completed, begun, is_gone, lasting, worker_of
from tests.kills.server import Server
from tests.markets import daily

OUTAGE_SECONDS = 60.0
NETWORKS = 3


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="module")
def longer_than_the_outage() -> dict[str, Any]:
    """A strategy whose epochs last for about 90 s on this machine: those of a short one are timed."""
    problem = build_problem(
        daily(load_development(Catalog(None), "nasdaq")), parse_strategy(lasting(20)), seed=1
    )
    asked = time.perf_counter()
    train(problem, None, lambda *_: True)
    an_epoch = (time.perf_counter() - asked) / problem.total_epochs
    return lasting(min(10_000, round(1.5 * OUTAGE_SECONDS / an_epoch / NETWORKS)))


def unavailable(backend: Backend) -> bool:
    answers = [backend.client.get(path, timeout=30.0) for path in ("/ready", "/operations", "/agent/status")]
    return all(
        answer.status_code == 503 and answer.json()["error"]["code"] == "DATABASE_UNAVAILABLE"
        for answer in answers
    )


def wait_out(seconds: float, *, since: float) -> None:
    eventually(lambda: time.monotonic() - since > seconds, within=seconds + 5.0, what="the outage's end")


@pytest.mark.timeout(900)
def test_a_training_and_a_session_outlive_a_minute_without_postgresql(
    server: Server, sqlite_backend: BackendFactory, longer_than_the_outage: dict[str, Any]
) -> None:
    """503 DATABASE_UNAVAILABLE meanwhile; no healthy worker is declared dead, both complete at attempt 1."""
    backend = sqlite_backend(
        KTRDR_DATABASE_URL=create_postgresql_database(server.address), KTRDR_WORKER_SLOTS="2", **OPEN_GATES
    )
    backend.start()
    session, _ = backend.trigger(seed=3, strategy=SMALL)
    backend.await_status(f"{session}.training", "RUNNING")
    training = begun(backend, longer_than_the_outage)
    worker = worker_of(backend, training)
    server.crash()
    crashed = time.monotonic()
    eventually(lambda: unavailable(backend), within=20.0, what="503 DATABASE_UNAVAILABLE")
    wait_out(OUTAGE_SECONDS, since=crashed)
    assert unavailable(backend)
    assert not is_gone(worker), "it ended in the outage: nothing was left to declare dead"
    server.start()
    await_completed(backend, session)
    await_completed(backend, training, within=600.0)
    assert backend.operation(training)["attempt"] == 1
    for operation in (session, f"{session}.training", f"{session}.backtesting", f"{session}.holdout"):
        assert backend.operation(operation)["attempt"] == 1


def test_a_backend_restarted_with_its_database_declares_no_healthy_worker_dead(
    server: Server, sqlite_backend: BackendFactory, longer_than_the_outage: dict[str, Any]
) -> None:
    """Leases that ran out while nobody could renew them are not judged before their workers could."""
    backend = sqlite_backend(KTRDR_DATABASE_URL=create_postgresql_database(server.address))
    backend.start()
    training = begun(backend, longer_than_the_outage)
    worker = worker_of(backend, training)
    server.crash()
    crashed = time.monotonic()
    backend.kill()
    wait_out(40.0, since=crashed)
    worker.send_signal(signal.SIGSTOP)  # a reconnect can take seconds: here it takes until the backend is up
    server.start()
    backend.start()
    worker.send_signal(signal.SIGCONT)
    first = backend.operation(training)
    assert (first["status"], first["attempt"]) == ("RUNNING", 1), first["error_message"]
    later = eventually(
        lambda: _advanced(backend, training, first["progress"]["percent"]), within=20.0, what="progress"
    )
    assert later["attempt"] == 1


def _advanced(backend: Backend, training: str, percent: float) -> dict[str, int] | None:
    found = backend.operation(training)
    assert found["status"] == "RUNNING", found["error_message"]
    return {"attempt": found["attempt"]} if found["progress"]["percent"] > percent else None
