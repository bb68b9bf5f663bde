"""A backend that is stopped for longer than its lease, and the one that took over meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import free_port
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.integration.trainings import await_completed

MESSAGE = "Backend restarted - checkpoint available for resume"


@pytest.fixture
def pair(tmp_path: Path, database_url: str) -> Iterator[tuple[Backend, Backend]]:
    """Two backends of one name, one home and one database; none is started."""
    both = tuple(
        Backend(tmp_path / "home", free_port(), KTRDR_DATABASE_URL=database_url, **OPEN_GATES)
        for _ in range(2)
    )
    yield both[0], both[1]
    for one in both:
        one.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the session comes to when nobody stops its backend."""
    one = Backend(tmp_path_factory.mktemp("whole"), free_port(), **OPEN_GATES)
    try:
        one.start()
        session, _ = one.trigger(seed=3, strategy=SMALL)
        return str(await_completed(one, session)["result"]["fingerprint"])
    finally:
        one.close()


@pytest.mark.timeout(300)
def test_a_stopped_backend_that_wakes_beside_its_successor_writes_nothing_and_ends(
    pair: tuple[Backend, Backend], whole: str
) -> None:
    """SIGSTOP, a successor once the lease is out, a resume there, SIGCONT: one attempt more, one child each,
    and the result of a session that nobody stopped."""
    stopped, successor = pair
    stopped.start()
    session, _ = stopped.trigger(seed=3, strategy=SMALL)
    stopped.await_phase("TRAINING")
    assert stopped.process is not None
    stopped.process.send_signal(signal.SIGSTOP)

    assert successor.start() > 3.0, "it took the name without watching its holder"
    failed = successor.operation(session)
    assert (failed["status"], failed["error_message"]) == ("FAILED", MESSAGE)
    assert successor.resume(session).status_code == 200
    successor.await_status(session, "RUNNING")

    stopped.process.send_signal(signal.SIGCONT)
    assert stopped.process.wait(timeout=30.0) == 1
    assert "was taken by process" in stopped.log()
    done = await_completed(successor, session)
    assert done["attempt"] == 2
    children = [one for one in successor.get("/operations") if one["parent_operation_id"] == session]
    assert sorted(one["operation_id"] for one in children) == sorted(
        f"{session}.{name}" for name in ("training", "backtesting", "holdout")
    )
    assert all(one["attempt"] == 1 for one in children), "its workers never noticed"
    assert done["result"]["fingerprint"] == whole
    eventually(lambda: not workers_of(successor.home), within=10.0, what="the end of every worker")
