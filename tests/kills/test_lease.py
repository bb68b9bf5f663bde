"""A worker whose process is there and whose heartbeat is not."""

from __future__ import annotations

import signal

import pytest

from ktrdr.domain.operations import WORKER_LEASE_SECONDS
from tests.integration.backend import Backend, eventually
from tests.integration.trainings import (
    ENDLESS,
    LOST,
    STEADY,
    await_completed,
    await_epoch,
    begun,
    epoch_of,
    is_gone,
    said_by,
    stored_checkpoint,
    worker_of,
)

DETECTED_SECONDS = 35.0


@pytest.mark.parametrize("adopted", [False, True], ids=["child", "adopted"])
def test_a_worker_that_only_its_lease_can_tell_is_failed_within_35_seconds(
    backend: Backend, adopted: bool
) -> None:
    """SIGSTOP: no exit to see, so the lease of 30 s decides, also when the backend was restarted since."""
    training = begun(backend, ENDLESS)
    worker = worker_of(backend, training)
    worker.send_signal(signal.SIGSTOP)
    if adopted:
        backend.kill()
        backend.start()
    failed = backend.await_status(training, "FAILED", within=DETECTED_SECONDS)
    assert (failed["error_code"], failed["error_message"]) == ("WORKER_LOST", LOST)


@pytest.mark.parametrize("adopted", [False, True], ids=["child", "adopted"])
def test_a_replaced_worker_that_wakes_writes_nothing_and_leaves(
    backend: Backend, database_url: str, whole_weights: str, adopted: bool
) -> None:
    """Stopped past its lease and resumed elsewhere, the old process finds itself fenced and exits."""
    training = begun(backend, STEADY)
    old = worker_of(backend, training)
    old.send_signal(signal.SIGSTOP)
    if adopted:
        backend.kill()
        backend.start()
    stopped = backend.await_status(training, "FAILED", within=WORKER_LEASE_SECONDS + 10.0)
    assert backend.resume(training).status_code == 200
    backend.await_status(training, "RUNNING", within=15.0)
    running = await_epoch(backend, training, after=epoch_of(stopped))
    new = worker_of(backend, training)
    assert running["attempt"] == 2
    assert new.pid != old.pid
    assert not is_gone(old), "somebody else ended it: this shows nothing"

    old.send_signal(signal.SIGCONT)
    eventually(lambda: is_gone(old), within=25.0, what=f"the old worker's exit; {said_by(backend, training)}")
    assert "is owned by another attempt; nothing written" in said_by(backend, training)
    written = stored_checkpoint(database_url, training)
    assert written is None or written.attempt == 2
    done = await_completed(backend, training)
    assert (done["attempt"], done["executor_ref"]) == (2, running["executor_ref"])
    assert done["result"]["weights_sha256"] == whole_weights
