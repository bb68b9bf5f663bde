"""The clock of the machine is set by an hour while a session runs. SQLite's time is that clock's."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from ktrdr.cli.main import app
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory, free_port
from tests.integration.strategies import OPEN_GATES
from tests.integration.trainings import (
    ENDLESS,
    LOST,
    await_completed,
    await_epoch,
    begun,
    epoch_of,
    lasting,
    worker_of,
)
from tests.kills.preload import Preloaded

HOUR = 3600
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
STRATEGY = lasting(900)
DETECTED_SECONDS = 35.0


@pytest.fixture
def clock(tmp_path: Path) -> Preloaded:
    """Set by seconds."""
    return Preloaded(tmp_path / "clock", "clock.c")


@pytest.fixture
def backend(sqlite_backend: BackendFactory, clock: Preloaded) -> Backend:
    one = sqlite_backend(PYTHONPATH=clock.python_path, **OPEN_GATES)
    one.start()
    return one


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the session comes to when nobody sets the clock."""
    one = Backend(tmp_path_factory.mktemp("whole"), free_port(), **OPEN_GATES)
    try:
        one.start()
        session, _ = one.trigger(seed=3, strategy=STRATEGY)
        return str(await_completed(one, session)["result"]["fingerprint"])
    finally:
        one.close()


def pass_by(seconds: float) -> None:
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since > seconds, within=seconds + 5.0, what="the time to pass")


@pytest.mark.parametrize(
    ("look", "now"),
    [
        ("time.time()", time.time),
        ("sqlite3.connect(':memory:').execute(\"SELECT unixepoch('now')\").fetchone()[0]", time.time),
        ("psutil.boot_time()", psutil.boot_time),
    ],
    ids=["Python", "SQLite", "boot"],
)
def test_the_clock_is_really_set(clock: Preloaded, look: str, now: Callable[[], float]) -> None:
    """Otherwise what follows shows nothing."""
    assert abs(clock.read(look) - now()) < 30.0
    for jump in (HOUR, -HOUR):
        clock.set(jump)
        assert abs(clock.read(look) - now() - jump) < 30.0


@pytest.mark.timeout(300)
@JUMPS
def test_a_session_outlives_a_clock_that_is_set(
    backend: Backend, clock: Preloaded, whole: str, jump: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No healthy worker is called dead, although it can't renew for a while right after the jump; nor by
    the next backend, which finds every start time moved. The session resumes and finds the same."""
    session, _ = backend.trigger(seed=3, strategy=STRATEGY)
    training = f"{session}.training"
    backend.await_status(training, "RUNNING")
    started = await_epoch(backend, training, after=0)
    worker = worker_of(backend, training)
    worker.send_signal(signal.SIGSTOP)
    clock.set(jump)
    pass_by(4.0)
    worker.send_signal(signal.SIGCONT)
    going = await_epoch(backend, training, after=epoch_of(started))
    assert backend.operation(session)["status"] == "RUNNING"

    monkeypatch.setenv("KTRDR_URL", f"http://127.0.0.1:{backend.port}")
    for words in (["operations", "list"], ["operations", "show", training], ["research", "status"]):
        shown = CliRunner().invoke(app, words)
        assert shown.exit_code == 0, shown.output

    backend.kill()
    assert backend.start() < 10.0, "its own dead predecessor kept it waiting"
    await_epoch(backend, training, after=epoch_of(going))
    assert backend.operation(training)["attempt"] == 1
    assert backend.resume(session).status_code == 200
    done = await_completed(backend, session)
    assert (done["attempt"], done["result"]["fingerprint"]) == (2, whole)
    assert backend.operation(training)["attempt"] == 1


@JUMPS
def test_a_dead_worker_is_found_in_time_although_the_clock_was_set(
    backend: Backend, clock: Preloaded, jump: int
) -> None:
    """Only its lease can tell, and that has an hour to run once the clock went back."""
    training = begun(backend, ENDLESS)
    worker_of(backend, training).send_signal(signal.SIGSTOP)
    clock.set(jump)
    failed = backend.await_status(training, "FAILED", within=DETECTED_SECONDS)
    assert (failed["error_code"], failed["error_message"]) == ("WORKER_LOST", LOST)


@JUMPS
def test_a_cancel_has_its_grace_although_the_clock_was_set(
    sqlite_backend: BackendFactory, clock: Preloaded, jump: int
) -> None:
    """Neither killed at once while it saves, nor left for an hour when it will not stop."""
    grace = 6.0
    backend = sqlite_backend(PYTHONPATH=clock.python_path, KTRDR_WORKER_GRACE_SECONDS=str(grace))
    backend.start()
    training = begun(backend, ENDLESS)
    worker_of(backend, training).send_signal(signal.SIGSTOP)
    asked = time.monotonic()
    assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    clock.set(jump)
    pass_by(2.0)
    assert backend.operation(training)["status"] == "RUNNING"
    backend.await_status(training, "CANCELLED", within=20.0)
    assert grace - 1.0 < time.monotonic() - asked < grace + 10.0
