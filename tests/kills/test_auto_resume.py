"""KTRDR_AUTO_RESUME: the sessions of a killed backend go on by themselves, but not for nothing for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.strategies import OPEN_GATES, SMALL

RESTARTED = "Backend restarted - checkpoint available for resume"


@pytest.fixture
def willing(backend: Backend) -> Backend:
    """The backend with open gates, told to go on by itself."""
    backend.stop()
    backend.environment.update(OPEN_GATES, KTRDR_AUTO_RESUME="true")
    backend.start()
    return backend


def restarted(backend: Backend) -> None:
    backend.kill()
    backend.start()


def ended(backend: Backend, operation_id: str) -> list[tuple[bool, str]]:
    """Of each resume: was it automatic, and what had ended the attempt before it."""
    found = backend.get(f"/operations/{operation_id}/resumes")
    return [(one["automatic"], one["ended"]["code"]) for one in found]


def dry_run(backend: Backend, operation_id: str) -> Any:
    answer = backend.client.post(f"/operations/{operation_id}/resume?dry_run=true")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def ktrdr(backend: Backend, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "KTRDR_URL": f"http://127.0.0.1:{backend.port}", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "ktrdr.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_sessions_go_on_after_every_kill(willing: Backend) -> None:
    """Killed in TRAINING with its worker, and in BACKTESTING: nobody resumes, and it completes."""
    operation_id, _ = willing.trigger(seed=11, strategy=SMALL)
    training = f"{operation_id}.training"

    def checkpointed() -> bool:
        found = willing.client.get(f"/operations/{training}").json().get("data")
        return bool(found and found["checkpoint"])

    eventually(checkpointed, within=60.0, what="a training checkpoint")
    assert dry_run(willing, operation_id)["obstacle"]["code"] == "OPERATION_NOT_RESUMABLE"
    willing.kill()
    for worker in workers_of(willing.home):
        worker.send_signal(signal.SIGKILL)
    willing.start()
    assert willing.operation(operation_id)["status"] in ("PENDING", "RUNNING")
    willing.await_phase("BACKTESTING")
    restarted(willing)
    done = willing.await_status(operation_id, "COMPLETED")
    assert (done["attempt"], done["resumes"], done["stuck"]) == (3, 2, None)
    assert ended(willing, operation_id) == [(True, "BACKEND_RESTARTED")] * 2
    [first, second] = willing.get(f"/operations/{operation_id}/resumes")
    assert (first["position"]["phase"], second["position"]["phase"]) == ("TRAINING", "BACKTESTING")
    assert first["position"]["epoch"] >= 1
    assert [code for _, code in ended(willing, training)] == ["WORKER_LOST"]


def test_what_a_dry_run_says_is_what_happens(backend: Backend) -> None:
    """Without the setting nothing goes on by itself; the resume goes on at the epoch that the plan named."""
    backend.stop()
    backend.environment.update(OPEN_GATES)
    backend.start()
    operation_id, _ = backend.trigger(seed=11, strategy=SMALL)
    training = f"{operation_id}.training"
    backend.await_status(training, "RUNNING")
    eventually(lambda: backend.operation(training)["checkpoint"], within=60.0, what="a checkpoint")
    backend.kill()
    for worker in workers_of(backend.home):
        worker.send_signal(signal.SIGKILL)
    backend.start()
    assert backend.operation(operation_id)["error_message"] == RESTARTED
    plan, kept = dry_run(backend, operation_id), backend.operation(training)["checkpoint"]
    assert (plan["can_resume"], plan["status"]) == (True, "FAILED")
    assert [one["part"] for one in plan["reused"]] == ["design"]
    [child] = plan["children"]
    assert (child["operation_id"], child["action"]) == (training, "resume")
    assert f"goes on after epoch {kept['epoch']:,} of " in child["what"]
    assert f"{kept['epoch'] + 1:,} " in plan["redone"][0]
    assert 0.0 < plan["checkpoint_age_seconds"] < 300.0
    assert ended(backend, operation_id) == [], "a dry run changes nothing"
    status, shown = ktrdr(backend, "operations", "resume", operation_id, "--dry-run")
    assert status == 0
    assert "can be resumed" in shown
    assert f"Go on: ktrdr operations resume {operation_id}" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert backend.resume(operation_id).status_code == 200
    backend.await_status(operation_id, "COMPLETED")
    [row] = backend.get(f"/operations/{training}/resumes")
    assert row["position"]["epoch"] == kept["epoch"]


def test_three_automatic_resumes_without_progress_are_enough(willing: Backend) -> None:
    """The fourth start leaves the session to its user, who is told the error of each attempt."""
    operation_id, _ = willing.trigger(seed=11)
    for attempt in (1, 2, 3, 4):
        willing.await_status(operation_id, "RUNNING", within=30.0)
        found = willing.operation(operation_id)
        assert (found["attempt"], found["stuck"]) == (attempt, None)
        restarted(willing)
    left = willing.operation(operation_id)
    assert (left["status"], left["error_message"], left["resumes"]) == ("FAILED", RESTARTED, 3)
    assert [one["attempt"] for one in left["stuck"]["errors"]] == [2, 3, 4]
    assert {one["message"] for one in left["stuck"]["errors"]} == {RESTARTED}
    assert "is not resumed (OPERATION_NOT_RESUMABLE): It was resumed 3 times" in willing.log()
    status, shown = ktrdr(willing, "operations", "show", operation_id)
    assert (status, "It was resumed 3 times and got no further" in shown) == (0, True)
    assert "attempt 4  BACKEND_RESTARTED" in shown
    status, shown = ktrdr(willing, "operations", "resume", operation_id)
    assert (status, "Resumed from DESIGNING" in shown, "got no further" in shown) == (0, True, True)
    willing.await_phase("TRAINING")
    assert willing.operation(operation_id)["stuck"] is None
