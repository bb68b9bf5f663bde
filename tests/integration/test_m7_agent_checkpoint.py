"""Milestone 7 over HTTP: a session loses its backend, says so, resumes, and finds the same."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.strategies import OPEN_GATES, SMALL

RESTARTED = "Backend restarted - checkpoint available for resume"
SEED = 11


@pytest.fixture
def patient(backend: Backend) -> Backend:
    """The backend with open gates."""
    backend.stop()
    backend.environment.update(OPEN_GATES)
    backend.start()
    return backend


def killed_in(backend: Backend, phase: str, **body: Any) -> str:
    """Trigger, wait for the phase, kill -9 the backend, restart it."""
    operation_id, _ = backend.trigger(seed=SEED, **body)
    backend.await_phase(phase)
    backend.kill()
    backend.start()
    return operation_id


def test_m7_agent_checkpoint_scenario(patient: Backend) -> None:
    """Task 7.6: start, training, restart, FAILED with the message, resume, continues from the phase."""
    operation_id = killed_in(patient, "TRAINING", strategy=SMALL)
    failed = patient.operation(operation_id)
    assert (failed["status"], failed["error_message"]) == ("FAILED", RESTARTED)
    assert failed["is_backend_local"]
    assert failed["resumable"]
    checkpoint = patient.get(f"/checkpoints/{operation_id}")
    assert checkpoint["integrity"] == "intact"
    assert checkpoint["state"]["trigger_reason"] == "start_new_cycle"
    assert checkpoint["state"]["training_operation_id"] == f"{operation_id}.training"

    resumed = patient.resume(operation_id)
    assert resumed.status_code == 200, resumed.text
    assert resumed.json()["data"]["resumed_from"]["phase"] == "TRAINING"
    patient.await_phase("BACKTESTING")
    done = patient.await_status(operation_id, "COMPLETED")
    assert done["result"]["verdict"] in ("ESTABLISHED", "NOT_PROVEN")
    assert done["checkpoint"] is None, "the checkpoint is deleted with COMPLETED"


@pytest.mark.parametrize("phase", ["DESIGNING", "TRAINING", "BACKTESTING", "ASSESSING"])
def test_kill_in_any_phase_resumes_at_that_phase(patient: Backend, phase: str) -> None:
    """Finished phases are not run again: same strategy, same children, one attempt of each that had ended."""
    body = {} if phase == "DESIGNING" else {"strategy": SMALL}
    operation_id = killed_in(patient, phase, **body)
    assert patient.operation(operation_id)["error_message"] == RESTARTED
    before = patient.get("/agent/sessions")[0]
    resumed = patient.resume(operation_id)
    assert resumed.json()["data"]["resumed_from"]["phase"] == phase
    if phase == "DESIGNING":
        patient.await_phase("TRAINING")  # the rest of the way is the other three cases'
        return
    patient.await_status(operation_id, "COMPLETED")
    after = patient.get("/agent/sessions")[0]
    assert after["strategy_config"] == before["strategy_config"]
    assert after["training_operation_id"] == before["training_operation_id"]
    finished = [child for child in before["children"] if child["status"] == "COMPLETED"]
    for child in finished:
        assert child in after["children"], "a finished child was touched again"
    counted = Counter(child["operation_type"] for child in after["children"])
    assert counted == {"training": 1, "backtesting": 2}


def test_interrupted_research_equals_the_uninterrupted(patient: Backend) -> None:
    """Backend and worker both killed in TRAINING: weights, trades and equity do not change by a bit."""
    whole, _ = patient.trigger(seed=SEED, strategy=SMALL)
    patient.await_status(whole, "COMPLETED")

    operation_id, _ = patient.trigger(seed=SEED, strategy=SMALL)
    training = f"{operation_id}.training"

    def checkpointed() -> bool:
        found = patient.client.get(f"/operations/{training}").json().get("data")
        return bool(found and found["checkpoint"])

    eventually(checkpointed, within=40.0, what="a training checkpoint")
    patient.kill()
    for worker in workers_of(patient.home):
        worker.send_signal(signal.SIGKILL)
    patient.start()
    lost = patient.operation(training)
    assert lost["status"] == "FAILED"
    assert lost["error_message"] == "Worker became unavailable - checkpoint available for resume"
    started = patient.get("/restarts", limit=1)[0]
    assert started["failed_with_checkpoint"] == started["resumable"] == 2, "the session and its training"
    assert (started["failed_without_checkpoint"], started["left_running"], started["resubmitted"]) == (
        0,
        0,
        0,
    )
    assert patient.log().count(started["summary"]) == 1
    assert patient.resume(operation_id).status_code == 200
    patient.await_status(operation_id, "COMPLETED")
    assert patient.operation(training)["attempt"] == 2
    # The second opening of the holdout is judged at a stricter level, by design: compare what was computed.
    first, second = (patient.get(f"/agent/sessions/{n}") for n in (1, 2))
    assert first["training_result"]["weights_sha256"] == second["training_result"]["weights_sha256"]
    assert computed(first["backtest_result"]) == computed(second["backtest_result"])
    assert first["holdout_result"]["trades_sha256"] == second["holdout_result"]["trades_sha256"]
    assert first["holdout_result"]["equity_sha256"] == second["holdout_result"]["equity_sha256"]


def computed(result: dict[str, Any]) -> dict[str, Any]:
    """A backtest's result without the place of its report, whose files are compared by their hashes."""
    return {**result, "report": result["report"]["files"]}


def test_the_worker_outlives_its_backend(patient: Backend) -> None:
    """A training goes on while the backend is down, and the resumed session attaches to it."""
    operation_id, _ = patient.trigger(seed=SEED, strategy=SMALL)
    patient.await_status(f"{operation_id}.training", "RUNNING")
    patient.kill()
    assert workers_of(patient.home), "the worker died with its backend"
    patient.start()
    assert patient.resume(operation_id).status_code == 200
    patient.await_status(operation_id, "COMPLETED")
    assert patient.operation(f"{operation_id}.training")["attempt"] == 1


def test_sigterm_writes_a_shutdown_checkpoint(patient: Backend) -> None:
    """A clean stop leaves a `shutdown` checkpoint; the next start tells the same truth."""
    operation_id, _ = patient.trigger(seed=SEED, strategy=SMALL)
    patient.await_phase("TRAINING")
    patient.stop()
    patient.start()
    failed = patient.operation(operation_id)
    assert (failed["status"], failed["error_message"]) == ("FAILED", RESTARTED)
    assert failed["checkpoint"]["checkpoint_type"] == "shutdown"


def test_two_hundred_concurrent_resumes_have_one_winner(patient: Backend) -> None:
    """All at once, each over a connection of its own: one resumes, the others get 409 and change nothing."""
    operation_id = killed_in(patient, "TRAINING", strategy=SMALL)

    async def resume_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=patient.client.base_url, limits=limits, timeout=60.0) as client:
            path = f"/operations/{operation_id}/resume"
            return await asyncio.gather(*(client.post(path) for _ in range(200)))

    answers = asyncio.run(resume_all())
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 199}
    said = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409}
    assert said <= {"RESUME_CONFLICT", "OPERATION_NOT_RESUMABLE"}
    assert patient.await_status(operation_id, "RUNNING")["attempt"] == 2
    patient.await_phase("BACKTESTING")
    children = [one for one in patient.get("/operations") if one["parent_operation_id"] == operation_id]
    assert Counter(one["operation_type"] for one in children) == {"training": 1, "backtesting": 1}
    assert next(one for one in children if one["operation_type"] == "training")["attempt"] == 1
    assert patient.operation(operation_id)["attempt"] == 2


def test_six_concurrent_triggers_start_one_session(backend: Backend) -> None:
    """Capacity 1: the check and the insert are one transaction."""

    def post(_: int) -> tuple[int, Any]:
        answer = backend.client.post("/agent/trigger", json={"trigger_reason": "manual", "strategy": SMALL})
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, range(6)))
    assert Counter(code for code, _ in answers) == {202: 1, 409: 5}
    started = next(body["data"] for code, body in answers if code == 202)
    for code, body in answers:
        if code == 409:
            assert body["error"]["code"] == "SESSION_ACTIVE"
            assert body["error"]["details"]["active"] == [started]


def test_cancel_keeps_a_checkpoint_and_resume_goes_on(patient: Backend) -> None:
    """Cancel stops the child at its checkpoint; the resumed session completes."""
    operation_id, _ = patient.trigger(seed=SEED, strategy=SMALL)
    patient.await_status(f"{operation_id}.training", "RUNNING")
    answer = patient.client.post(f"/operations/{operation_id}/cancel")
    assert answer.status_code == 202
    assert answer.json()["data"]["resume_command"].endswith(operation_id)
    cancelled = patient.await_status(operation_id, "CANCELLED")
    assert cancelled["checkpoint"]["checkpoint_type"] == "cancellation"
    assert patient.operation(f"{operation_id}.training")["status"] == "CANCELLED"
    assert patient.resume(operation_id).status_code == 200
    patient.await_status(operation_id, "COMPLETED")
