"""A whole session whose training runs on a Ray cluster, and loses its backend on the way."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.executors.contract import process_of
from tests.executors.ray_cluster import RayCluster
from tests.integration.backend import Backend, eventually
from tests.integration.strategies import OPEN_GATES, SMALL

pytestmark = pytest.mark.ray


@pytest.fixture
def on_ray(backend: Backend) -> Iterator[Backend]:
    """A backend whose cluster holds the database's address itself."""
    cluster = RayCluster(KTRDR_DATABASE_URL=backend.environment["KTRDR_DATABASE_URL"])
    backend.stop()
    ray = {"KTRDR_EXECUTOR": "ray", "KTRDR_RAY_ADDRESS": cluster.address, "KTRDR_RAY_TOKEN": cluster.token}
    backend.environment.update({**OPEN_GATES, **ray})
    backend.start()
    yield backend
    cluster.stop()


def test_a_session_on_ray_survives_its_backend_and_its_worker(on_ray: Backend) -> None:
    """The job goes on while the backend is down; killed, it is resumed as a job of another name."""
    strategy = {**SMALL, "training": {**SMALL["training"], "epochs": 1500}}
    operation_id, _ = on_ray.trigger(seed=5, strategy=strategy)
    training = f"{operation_id}.training"
    running = on_ray.await_status(training, "RUNNING")
    assert running["executor_ref"].startswith(f"ray:{training}-1-")
    eventually(lambda: on_ray.operation(training)["checkpoint"], within=60.0, what="a checkpoint")
    on_ray.kill()
    on_ray.start()
    assert on_ray.operation(training)["status"] == "RUNNING"
    assert on_ray.resume(operation_id).status_code == 200

    process_of(training).send_signal(signal.SIGKILL)
    failed = on_ray.await_status(operation_id, "FAILED")
    lost = on_ray.operation(training)
    assert (lost["status"], lost["error_code"]) == ("FAILED", "WORKER_KILLED")
    assert lost["error_message"] == "Worker became unavailable - checkpoint available for resume"
    assert failed["error_code"] == "TRAINING_FAILED"
    assert on_ray.resume(operation_id).status_code == 200
    on_ray.await_status(operation_id, "COMPLETED", within=180.0)
    done = on_ray.operation(training)
    assert (done["attempt"], done["executor_ref"] == lost["executor_ref"]) == (2, False)
    assert "ktrdr" in on_ray.client.get(f"/operations/{training}/log").text
