"""The kill table: workers that are killed, stopped and cancelled, backends restarted around them.

What takes longer than a few seconds (an expired lease, a long outage) is in tests/kills.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.trainings import (
    ENDLESS,
    LOST,
    LOST_WITHOUT,
    STEADY,
    await_completed,
    await_epoch,
    begin,
    begun,
    epoch_of,
    is_gone,
    said_by,
    worker_of,
)

DETECTED_SECONDS = 5.0
CANCEL_SECONDS = 1.5
EXIT_SECONDS = 25.0


def kill_worker_of(backend: Backend, training: str, code: str = "WORKER_KILLED") -> str:
    """SIGKILL the worker; the sentence that the operation is failed with, in time."""
    worker_of(backend, training).send_signal(signal.SIGKILL)
    failed = backend.await_status(training, "FAILED", within=DETECTED_SECONDS)
    assert failed["error_code"] == code
    return str(failed["error_message"])


def test_a_killed_worker_is_failed_within_five_seconds(backend: Backend) -> None:
    """The operation of a worker that got SIGKILL says whether there is a checkpoint to resume from."""
    training = begin(backend, ENDLESS)
    backend.await_status(training, "RUNNING")
    assert kill_worker_of(backend, training) == LOST_WITHOUT
    assert not backend.operation(training)["resumable"]

    training = begun(backend, ENDLESS)
    assert kill_worker_of(backend, training) == LOST
    assert backend.operation(training)["resumable"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_training_goes_on_through_a_restart(backend: Backend, number: signal.Signals) -> None:
    """The same process goes on at the same attempt; the backend that adopts it misses it within 5 s too."""
    training = begun(backend, ENDLESS)
    before = backend.operation(training)
    assert backend.process is not None
    backend.process.send_signal(number)
    backend.process.wait(timeout=30.0)
    backend.start()
    found = backend.operation(training)
    assert (found["status"], found["attempt"]) == ("RUNNING", 1), found["error_message"]
    assert found["executor_ref"] == before["executor_ref"]
    later = await_epoch(backend, training, after=epoch_of(found))
    assert (later["attempt"], later["executor_ref"]) == (1, before["executor_ref"])
    # Only a parent learns how its child ended.
    assert kill_worker_of(backend, training, code="WORKER_LOST") == LOST


def test_a_training_that_ends_while_the_backend_is_down_keeps_its_result(
    backend: Backend, whole_weights: str
) -> None:
    """The worker writes its end itself; the next backend finds it COMPLETED, at attempt 1."""
    training = begun(backend, STEADY)
    worker = worker_of(backend, training)
    backend.kill()
    eventually(lambda: is_gone(worker), within=60.0, what=f"the worker's end; {said_by(backend, training)}")
    backend.start()
    done = backend.operation(training)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1), done["error_message"]
    assert done["result"]["weights_sha256"] == whole_weights
    assert done["checkpoint"] is None, "the checkpoint is deleted with COMPLETED"
    assert not (backend.home / "artifacts" / training).exists(), "and so are its files"


def test_a_cancel_is_obeyed_within_1_5_seconds(backend: Backend) -> None:
    """From the request to CANCELLED, with a checkpoint of type `cancellation`, and the process exits."""
    training = begun(backend, ENDLESS)
    worker = worker_of(backend, training)
    asked = time.monotonic()
    assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    cancelled = backend.await_status(training, "CANCELLED", within=10.0)
    assert time.monotonic() - asked < CANCEL_SECONDS
    assert cancelled["checkpoint"]["checkpoint_type"] == "cancellation"
    assert cancelled["error_message"] == "Cancelled - checkpoint saved"
    assert cancelled["resumable"]
    eventually(lambda: is_gone(worker), within=EXIT_SECONDS, what="the worker's exit")


def test_sigterm_lets_a_worker_save_and_leave(backend: Backend, whole_weights: str) -> None:
    """SIGTERM: a `shutdown` checkpoint, CANCELLED, an exit within 25 s; a resume finds the same weights."""
    training = begun(backend, STEADY)
    worker = worker_of(backend, training)
    worker.terminate()
    eventually(lambda: is_gone(worker), within=EXIT_SECONDS, what="the worker's exit")
    stopped = backend.operation(training)
    assert (stopped["status"], stopped["error_message"]) == (
        "CANCELLED",
        "Graceful shutdown - checkpoint saved",
    )
    assert stopped["checkpoint"]["checkpoint_type"] == "shutdown"
    assert backend.resume(training).status_code == 200
    running = backend.await_status(training, "RUNNING")
    assert running["progress"]["percent"] > 0, "it shows where it stood until it has an epoch of its own"
    await_epoch(backend, training, after=stopped["checkpoint"]["epoch"])
    done = await_completed(backend, training)
    assert done["attempt"] == 2
    assert done["result"]["weights_sha256"] == whole_weights
