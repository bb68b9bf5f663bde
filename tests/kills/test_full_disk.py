"""A disk that takes no checkpoint while a session trains: full, read-only, or not for this worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ktrdr.cli.main import app
from tests.conftest import create_postgresql_database
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import free_port
from tests.integration.strategies import OPEN_GATES
from tests.integration.trainings import await_completed, epoch_of, lasting, stored_checkpoint, worker_of
from tests.kills.disks import SmallDisk, limit_files

STRATEGY = lasting(900)
SAID = {"full": "No space left on device", "read-only": "Read-only file system", "limited": "File too large"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the session comes to on a good disk."""
    one = Backend(tmp_path_factory.mktemp("whole"), free_port(), **OPEN_GATES)
    try:
        one.start()
        session, _ = one.trigger(seed=3, strategy=STRATEGY)
        return str(await_completed(one, session)["result"]["fingerprint"])
    finally:
        one.close()


class Case:
    """A backend, and a disk for its checkpoints that gets into trouble and out of it."""

    def __init__(self, backend: Backend, kind: str) -> None:
        self.backend, self.kind = backend, kind
        self.disk = None if kind == "limited" else SmallDisk(backend.home / "artifacts")

    def begin_trouble(self, training: str) -> None:
        if self.disk is None:
            limit_files(worker_of(self.backend, training), 16)
        elif self.kind == "full":
            self.disk.fill()
        else:
            self.disk.set_writable(False)

    def end_trouble(self, training: str) -> None:
        if self.disk is None:
            return  # it was the killed worker's own
        if self.kind == "full":
            self.disk.free()
        else:
            self.disk.set_writable(True)

    def close(self) -> None:
        self.backend.close()
        if self.disk is not None:
            self.disk.close()


@pytest.fixture(params=["full", "read-only", "limited"])
def case(request: pytest.FixtureRequest, tmp_path: Path, postgresql: str) -> Iterator[Case]:
    """The database is elsewhere: it has its own test below."""
    url = create_postgresql_database(postgresql)
    backend = Backend(tmp_path / "home", free_port(), KTRDR_DATABASE_URL=url, **OPEN_GATES)
    one = Case(backend, request.param)
    try:
        backend.start()
        yield one
    finally:
        one.close()


def warning_of(found: Any) -> str:
    return str(found["progress"]["detail"].get("warning", ""))


@pytest.mark.timeout(600)
def test_the_run_goes_on_with_a_warning_and_its_previous_checkpoint_stays_good(
    case: Case, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in the operation, its session and the command line. Killed in it, it resumes at the checkpoint
    before, on the very disk that takes nothing; with room again the warning is over, and so is the session
    with the result of a good disk."""
    backend = case.backend
    session, _ = backend.trigger(seed=3, strategy=STRATEGY)
    training = f"{session}.training"
    backend.await_status(training, "RUNNING")
    eventually(lambda: backend.operation(training)["checkpoint"], within=60.0, what="a checkpoint")
    case.begin_trouble(training)

    warned = f"checkpoint not written: {SAID[case.kind]}"
    eventually(lambda: warning_of(backend.operation(training)) == warned, within=20.0, what=warned)
    eventually(lambda: warning_of(backend.get("/agent/status")) == warned, within=20.0, what=warned)
    monkeypatch.setenv("KTRDR_URL", f"http://127.0.0.1:{backend.port}")
    for words in (["operations", "show", training], ["research", "status"]):
        assert f"warning {warned}" in CliRunner().invoke(app, words).output
    url = backend.environment["KTRDR_DATABASE_URL"]
    kept = stored_checkpoint(url, training)
    assert kept is not None
    at = epoch_of(backend.operation(training))
    eventually(lambda: epoch_of(backend.operation(training)) > at, within=20.0, what="another epoch")
    assert backend.operation(training)["status"] == "RUNNING"
    assert backend.get(f"/checkpoints/{training}")["integrity"] == "intact"
    assert stored_checkpoint(url, training) == kept

    worker_of(backend, training).send_signal(signal.SIGKILL)
    backend.await_status(session, "FAILED")
    assert backend.resume(session).status_code == 200
    resumed = eventually(
        lambda: _beyond(backend, training, kept.state["epoch"]), within=60.0, what="it went on"
    )
    assert resumed["attempt"] == 2
    case.end_trouble(training)
    eventually(lambda: _recorded(backend, training, kept.sequence), within=20.0, what="the next checkpoint")
    eventually(lambda: not warning_of(backend.operation(training)), within=10.0, what="the warning's end")
    assert await_completed(backend, session, within=300.0)["result"]["fingerprint"] == whole


def _beyond(backend: Backend, training: str, epoch: int) -> Any:
    found = backend.operation(training)
    return found if found["status"] == "RUNNING" and epoch_of(found) > epoch else None


def _recorded(backend: Backend, training: str, sequence: int) -> bool:
    found = backend.operation(training)["checkpoint"]
    return found is not None and found["sequence"] > sequence
