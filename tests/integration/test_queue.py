"""Operations wait their turn in the database, and one that will not stop is stopped."""

from __future__ import annotations

import signal

import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import SMALL
from tests.integration.trainings import ENDLESS, begin, lasting

BRIEF = lasting(3)


def test_operations_wait_their_turn(backend: Backend) -> None:
    """One slot: first come, first served, each with its position, also across a restart of the backend."""
    backend.stop()
    backend.environment["KTRDR_WORKER_SLOTS"] = "1"
    backend.start()
    first = begin(backend, ENDLESS)
    backend.await_status(first, "RUNNING")
    others = [begin(backend, BRIEF) for _ in range(3)]
    assert [backend.operation(one)["queue_position"] for one in others] == [1, 2, 3]
    listed = {one["operation_id"]: one["queue_position"] for one in backend.get("/operations")}
    assert listed == {first: None, others[0]: 1, others[1]: 2, others[2]: 3}
    backend.kill()
    backend.start()
    assert [backend.operation(one)["queue_position"] for one in others] == [1, 2, 3]
    assert len(workers_of(backend.home)) == 1

    backend.client.post(f"/operations/{others[1]}/cancel")
    assert [backend.operation(one)["queue_position"] for one in others] == [1, None, 2]
    backend.client.post(f"/operations/{first}/cancel")
    ended = [backend.await_status(one, "COMPLETED") for one in (others[0], others[2])]
    assert ended[0]["completed_at"] <= ended[1]["started_at"]
    assert backend.operation(others[0])["queue_position"] is None


def test_a_large_operation_is_not_overtaken(sqlite_backend: BackendFactory) -> None:
    """CPUs are slots; what asks for more than there are takes them all."""
    backend = sqlite_backend(KTRDR_WORKER_SLOTS="2")
    backend.start()
    first = begin(backend, ENDLESS)
    backend.await_status(first, "RUNNING")
    large = begin(backend, BRIEF, resources={"num_cpus": 8})
    small = begin(backend, BRIEF)
    assert backend.operation(large)["resources"] == {"num_cpus": 8, "num_gpus": 0.0}
    assert [backend.operation(one)["queue_position"] for one in (large, small)] == [1, 2]
    backend.client.post(f"/operations/{first}/cancel")
    done = backend.await_status(small, "COMPLETED")
    assert backend.operation(large)["completed_at"] <= done["started_at"]


@pytest.mark.parametrize(
    "resources", [{"num_cpus": 0}, {"num_gpus": -1}, {"num_gpus": 1}, {"cpus": 2}, {"num_cpus": 1.5}]
)
def test_resources_that_nobody_has_are_refused(
    sqlite_backend: BackendFactory, resources: dict[str, float]
) -> None:
    backend = sqlite_backend()
    backend.start()
    body = {"strategy": SMALL, "resources": resources}
    answer = backend.client.post("/training/start", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert backend.get("/operations") == []


def test_a_worker_that_does_not_stop_is_killed_after_its_grace(backend: Backend) -> None:
    """It sleeps through flag and SIGTERM; the row says what was done, and the checkpoint stays."""
    backend.stop()
    backend.environment["KTRDR_WORKER_GRACE_SECONDS"] = "2"
    backend.start()
    operation_id = begin(backend, ENDLESS)
    eventually(lambda: backend.operation(operation_id)["checkpoint"], within=60.0, what="a checkpoint")
    (worker,) = workers_of(backend.home)
    worker.send_signal(signal.SIGSTOP)
    assert backend.client.post(f"/operations/{operation_id}/cancel").status_code == 202
    cancelled = backend.await_status(operation_id, "CANCELLED", within=10.0)
    assert cancelled["error_message"] == (
        "Cancelled - the worker did not stop in time and was killed - checkpoint available for resume"
    )
    assert cancelled["error_code"] == "WORKER_KILLED"
    assert cancelled["resumable"]
    eventually(lambda: not workers_of(backend.home), within=5.0, what="the worker's end")
    assert backend.resume(operation_id).status_code == 200
    backend.await_status(operation_id, "RUNNING")
