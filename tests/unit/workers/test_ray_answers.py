"""What Ray may answer, and what the operation is told; the network is faked, the cluster is not here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ktrdr.domain.errors import ExecutorUnavailable, KtrdrError, StepFailed
from ktrdr.domain.operations import Operation, OperationType, Progress, Resources, Status
from ktrdr.workers.executors.executor import Presence
from ktrdr.workers.executors.ray import RayExecutor, submission_id

pytestmark = pytest.mark.anyio

OPERATION = Operation(
    operation_id="op_1.training",
    operation_type=OperationType.TRAINING,
    status=Status.PENDING,
    is_backend_local=False,
    parent_operation_id="op_1",
    request={},
    attempt=1,
    owner=None,
    executor_ref=None,
    lease_expires_at=None,
    cancel_requested_at=None,
    progress=Progress(),
    result=None,
    error_code=None,
    error_message=None,
    error_details=None,
    resources=Resources(num_cpus=2, num_gpus=0.5),
    revision=7,
    created_at=0.0,
    queued_at=0.0,
    started_at=None,
    completed_at=None,
    updated_at=0.0,
)
Answer = Callable[[httpx.Request], httpx.Response]


def ray(answer: Answer, logs: Path = Path("/nowhere")) -> RayExecutor:
    environment = {"KTRDR_HOME": "/shared"}
    transport = httpx.MockTransport(answer)
    return RayExecutor("http://ray:8265/", "secret", logs=logs, environment=environment, transport=transport)


def says(status: int, body: Any) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _: httpx.Response(status, text=text)


async def test_a_job_is_one_command_with_its_resources_and_no_password() -> None:
    """The entrypoint, the runtime environment and the name are all that Ray is told."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"submission_id": "x"})

    assert await ray(answer).submit(OPERATION) == f"ray:{submission_id(OPERATION)}"
    job = json.loads(sent[0].content)
    assert sent[0].url == "http://ray:8265/api/jobs/"
    assert sent[0].headers["authorization"] == "Bearer secret"
    assert job["entrypoint"] == "python -m ktrdr.workers --operation-id op_1.training --keep-log"
    assert (job["entrypoint_num_cpus"], job["entrypoint_num_gpus"]) == (2, 0.5)
    variables = job["runtime_env"]["env_vars"]
    assert variables["KTRDR_EXECUTOR_REF"] == f"ray:{submission_id(OPERATION)}"
    assert (variables["RAY_JOB_STOP_WAIT_TIME_S"], variables["OMP_NUM_THREADS"]) == ("25", "2")
    assert b"secret" not in sent[0].content


def test_a_name_is_never_used_for_another_queueing() -> None:
    again = replace(OPERATION, revision=9)
    later = replace(OPERATION, attempt=2)
    assert len({submission_id(one) for one in (OPERATION, again, later)}) == 3
    assert submission_id(OPERATION) == submission_id(replace(OPERATION, updated_at=5.0))


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (401, "Unauthorized", StepFailed, "EXECUTOR_UNAUTHORIZED"),
        (403, "Forbidden", StepFailed, "EXECUTOR_UNAUTHORIZED"),
        (400, "ValueError: entrypoint_num_gpus", StepFailed, "JOB_REFUSED"),
        (500, "No available agent to submit job, please try again later.", ExecutorUnavailable, None),
        (502, "<html>bad gateway</html>", ExecutorUnavailable, None),
    ],
)
async def test_a_refusal_has_a_code_and_what_was_said(
    status: int, body: str, error: type[KtrdrError], code: str | None
) -> None:
    with pytest.raises(error) as refused:
        await ray(says(status, body)).submit(OPERATION)
    if isinstance(refused.value, StepFailed):
        assert refused.value.step_code == code
    assert body in refused.value.message
    assert "http://ray:8265" in refused.value.message
    assert "secret" not in refused.value.message


async def test_a_name_that_is_taken_is_a_lost_answer() -> None:
    taken = says(500, "ValueError: Job with submission_id x already exists. Please use a different one.")
    assert await ray(taken).submit(OPERATION) == f"ray:{submission_id(OPERATION)}"


@pytest.mark.parametrize(
    ("answer", "presence", "exit_status", "code"),
    [
        (says(200, {"status": "PENDING"}), Presence.ALIVE, None, None),
        (says(200, {"status": "RUNNING"}), Presence.ALIVE, None, None),
        (says(200, {"status": "STOPPED", "message": ""}), Presence.ENDED, None, None),
        (says(200, {"status": "FAILED", "driver_exit_code": 137}), Presence.ENDED, 137, None),
        (
            says(200, {"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}),
            Presence.ENDED,
            None,
            "JOB_QUEUED_TOO_LONG",
        ),
        (
            says(200, {"status": "FAILED", "error_type": "RUNTIME_ENV_SETUP_FAILED", "message": "pip"}),
            Presence.ENDED,
            None,
            "JOB_FAILED",
        ),
        (says(404, "Job x does not exist"), Presence.ABSENT, None, None),
        (says(403, "Forbidden"), Presence.UNKNOWN, None, None),
        (says(500, "Traceback"), Presence.UNKNOWN, None, None),
    ],
)
async def test_what_a_look_sees(
    answer: Answer, presence: Presence, exit_status: int | None, code: str | None
) -> None:
    seen = await ray(answer).look("ray:x")
    assert (seen.presence, seen.exit_status, seen.code) == (presence, exit_status, code)


async def test_a_cluster_that_does_not_answer_is_unknown_and_harms_nothing() -> None:
    """Only the lease may judge a worker whose engine is silent."""

    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    executor = ray(silent)
    assert (await executor.look("ray:x")).presence is Presence.UNKNOWN
    await executor.terminate("ray:x")
    await executor.kill("ray:x")
    assert await executor.log(OPERATION, 100) is None
    with pytest.raises(ExecutorUnavailable):
        await executor.submit(OPERATION)


async def test_a_log_that_was_never_begun_comes_from_ray(tmp_path: Path) -> None:
    submitted = replace(OPERATION, executor_ref="ray:x")
    executor = ray(says(200, {"logs": "ModuleNotFoundError: ktrdr"}), tmp_path)
    assert await executor.log(submitted, 100) == "ModuleNotFoundError: ktrdr"
    (tmp_path / "op_1.training.log").write_text("its own\n")
    assert await executor.log(submitted, 100) == "its own\n"
