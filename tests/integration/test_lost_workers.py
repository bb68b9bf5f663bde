"""A worker that can't start, is killed, or lacks its data: a code, a sentence, and the end of its log."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import SMALL
from tests.integration.trainings import ENDLESS, begin, lasting

# Python runs this before anything else; it breaks workers and nothing besides.
BROKEN_START = """
import os, sys
if "ktrdr.workers" in sys.orig_argv:
    sys.stderr.write("ImportError: libtorch_cpu.so: cannot open shared object file\\n")
    sys.stderr.flush()
    os._exit(1)
"""


def test_a_worker_that_cannot_import_fails_its_operation(
    sqlite_backend: BackendFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it could claim: FAILED with what Python said; once mended, a session goes on from there."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(BROKEN_START)
    monkeypatch.setenv("PYTHONPATH", f"{broken}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    backend = sqlite_backend()
    backend.start()
    operation_id, _ = backend.trigger(seed=1, strategy=SMALL)
    failed = backend.await_status(f"{operation_id}.training", "FAILED")
    assert failed["error_code"] == "WORKER_START_FAILED"
    assert "libtorch_cpu.so" in failed["error_message"]
    assert failed["error_details"]["exit_status"] == 1
    assert "libtorch_cpu.so" in failed["error_details"]["log"]
    assert "libtorch_cpu.so" in backend.client.get(f"/operations/{operation_id}.training/log").text
    session = backend.await_status(operation_id, "FAILED")
    assert session["error_code"] == "TRAINING_FAILED"
    (broken / "sitecustomize.py").unlink()
    assert backend.resume(operation_id).status_code == 200
    backend.await_status(f"{operation_id}.training", "COMPLETED")


def test_a_killed_worker_leaves_its_exit_and_its_log(backend: Backend) -> None:
    """SIGKILL, by hand or by the kernel for want of memory: exit 137, and the checkpoint to go on from."""
    operation_id = begin(backend, ENDLESS)
    eventually(lambda: backend.operation(operation_id)["checkpoint"], within=60.0, what="a checkpoint")
    for worker in workers_of(backend.home):
        worker.send_signal(signal.SIGKILL)
    failed = backend.await_status(operation_id, "FAILED", within=5.0)
    assert failed["error_code"] == "WORKER_KILLED"
    assert failed["error_message"] == "Worker became unavailable - checkpoint available for resume"
    assert failed["error_details"]["exit_status"] == 137
    assert f"{operation_id}: attempt 1 begins" in failed["error_details"]["log"]
    assert failed["resumable"]


def test_a_data_set_that_is_gone_is_named(sqlite_backend: BackendFactory) -> None:
    """A row of another day names a data set that this installation no longer has."""
    backend = sqlite_backend(KTRDR_WORKER_SLOTS="1")
    backend.start()
    first = begin(backend, ENDLESS)
    backend.await_status(first, "RUNNING")
    waiting = begin(backend, lasting(3))
    with sqlite3.connect(backend.home / "ktrdr.db") as database:
        (text,) = database.execute(
            "SELECT request FROM operations WHERE operation_id = ?", (waiting,)
        ).fetchone()
        request: dict[str, Any] = {**json.loads(text), "dataset": "gone"}
        database.execute(
            "UPDATE operations SET request = ? WHERE operation_id = ?", (json.dumps(request), waiting)
        )
    backend.client.post(f"/operations/{first}/cancel")
    failed = backend.await_status(waiting, "FAILED")
    assert failed["error_code"] == "DATASET_NOT_FOUND"
    assert "gone" in failed["error_message"]
    assert "DatasetNotFound" in failed["error_details"]["log"]
