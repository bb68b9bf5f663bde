"""Cleanup beside real workers: by hand, and by itself many times a second; what is needed stays."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ktrdr.checkpointing.artifacts import write_generation
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.trainings import ENDLESS, STEADY, await_completed, begin, begun, worker_of

pytestmark = pytest.mark.timeout(600)
GREEDY = {"KTRDR_CHECKPOINT_DAYS": "0.00023", "KTRDR_ORPHAN_HOURS": "0", "KTRDR_CLEANUP_HOURS": "0.00001"}


def generations(home: Path, owner: str) -> list[str]:
    folder = home / "artifacts" / owner
    return sorted(f"{owner}/{one.name}" for one in folder.iterdir()) if folder.exists() else []


def test_only_what_has_stopped_is_cleaned_up(sqlite_backend: BackendFactory) -> None:
    """The same call, while the training runs and after its cancel; then there is nothing to resume from."""
    backend = sqlite_backend(KTRDR_ORPHAN_HOURS="0")
    backend.start()
    training = begun(backend, ENDLESS)
    lost = write_generation(
        backend.home / "artifacts", f"{training}.model", {"a": b"left by a killed writer"}
    )
    assert cleaned(backend) == ([], [])
    assert backend.operation(training)["checkpoint"] is not None

    assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    backend.await_status(training, "CANCELLED", within=25.0)
    assert generations(backend.home, training) != []
    assert cleaned(backend) == ([training], [lost.path])
    assert generations(backend.home, training) == generations(backend.home, f"{training}.model") == []
    refused = backend.resume(training)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "CHECKPOINT_NOT_FOUND")
    found = backend.get("/checkpoints/statistics")
    assert (found["checkpoints"], found["last_cleanup"]["deleted"]) == (0, [training])


def cleaned(backend: Backend) -> tuple[list[str], list[str]]:
    """Operations and folders that a cleanup of everything took."""
    answer = backend.client.post("/checkpoints/cleanup", json={"older_than_days": 0})
    assert answer.status_code == 200, answer.text
    done = answer.json()["data"]
    return done["deleted"], done["orphans"]


def test_sweeps_without_pause_cost_a_training_nothing(backend: Backend, whole_weights: str) -> None:
    """Twenty seconds after its end a checkpoint is gone; what is resumed before ends in the same weights."""
    backend.stop()
    backend.environment.update(GREEDY)
    backend.start()
    abandoned = begun(backend, ENDLESS)
    worker_of(backend, abandoned).send_signal(signal.SIGKILL)
    assert backend.await_status(abandoned, "FAILED")["resumable"]
    eventually(
        lambda: backend.get("/checkpoints/statistics")["last_cleanup"], within=90.0, what="the first sweep"
    )
    eventually(
        lambda: backend.operation(abandoned)["checkpoint"] is None, within=30.0, what="its checkpoint gone"
    )
    assert backend.resume(abandoned).status_code == 404

    training = begin(backend, STEADY)
    backend.await_status(training, "RUNNING")
    eventually(
        lambda: backend.operation(training)["checkpoint"] is not None, within=60.0, what="a checkpoint"
    )
    worker_of(backend, training).send_signal(signal.SIGKILL)
    backend.await_status(training, "FAILED")
    assert backend.resume(training).status_code == 200
    done = await_completed(backend, training)
    assert (done["attempt"], done["result"]["weights_sha256"]) == (2, whole_weights)
    model = backend.home / "artifacts" / done["result"]["model"]["path"]
    swept = backend.get("/checkpoints/statistics")["last_cleanup"]["at"]
    eventually(
        lambda: backend.get("/checkpoints/statistics")["last_cleanup"]["at"] > swept,
        within=30.0,
        what="another sweep",
    )
    assert model.exists()
