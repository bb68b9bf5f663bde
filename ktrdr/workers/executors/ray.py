"""Workers as jobs of a Ray cluster, over its Jobs HTTP API: no Ray in this process, no version coupling.

The cluster's nodes have ktrdr installed, share the home, and hold the database's address in their own
environment: a job's runtime environment is shown to whoever may look at the cluster, so no password
goes there.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from ktrdr.domain.errors import ExecutorUnavailable, StepFailed
from ktrdr.domain.operations import Operation
from ktrdr.workers.executors.executor import ABSENT, ALIVE, UNKNOWN, Presence, Sighting
from ktrdr.workers.logs import log_path, read_end
from ktrdr.workers.threads import thread_variables

TIMEOUT_SECONDS = 10.0
STOP_WAIT_SECONDS = 25  # Ray's own 3 s between SIGTERM and SIGKILL cut a checkpoint off
SAID_CHARACTERS = 500
_LIVE = frozenset({"PENDING", "RUNNING"})
_QUEUED_TOO_LONG = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"


class RayExecutor:
    """Submits, looks at and stops jobs. Ray has the queue and shares out CPUs and GPUs."""

    poll_seconds = 2.0
    slots: int | None = None

    def __init__(
        self,
        address: str,
        token: str | None,
        *,
        logs: Path,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = address.rstrip("/")
        self._logs = logs
        self._environment = environment
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(
            base_url=self._address, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport
        )

    def holds(self, ref: str) -> bool:
        """Ray counts its own resources."""
        return False

    async def submit(self, operation: Operation) -> str:
        """Submit a job under a name that belongs to this queueing: Ray takes a name only once."""
        submission = submission_id(operation)
        answer = await self._ask("POST", "/api/jobs/", json=self._job(operation, submission))
        taken = answer.status_code >= 500 and "already exists" in answer.text
        if answer.is_success or taken:  # taken: an earlier answer was lost on its way
            return f"ray:{submission}"
        said = _last_line(answer.text)
        if answer.status_code in (401, 403):
            raise StepFailed(
                "EXECUTOR_UNAUTHORIZED",
                f"Ray at {self._address} refused the token ({answer.status_code}: {said}). "
                "Set KTRDR_RAY_TOKEN to the cluster's RAY_AUTH_TOKEN, restart, and resume.",
            )
        if answer.status_code >= 500:
            raise self._unavailable(f"it answers {answer.status_code}: {said}")
        raise StepFailed(
            "JOB_REFUSED", f"Ray at {self._address} refused the job ({answer.status_code}): {said}"
        )

    def _job(self, operation: Operation, submission: str) -> dict[str, Any]:
        command = ["python", "-m", "ktrdr.workers", "--operation-id", operation.operation_id, "--keep-log"]
        return {
            "submission_id": submission,
            "entrypoint": shlex.join(command),
            "entrypoint_num_cpus": operation.resources.num_cpus,
            "entrypoint_num_gpus": operation.resources.num_gpus,
            "metadata": {"operation_id": operation.operation_id},
            "runtime_env": {
                "env_vars": {
                    "KTRDR_EXECUTOR_REF": f"ray:{submission}",
                    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS),
                    **thread_variables(operation.resources),
                    **self._environment,
                }
            },
        }

    async def look(self, ref: str) -> Sighting:
        if not ref.startswith("ray:"):
            return ABSENT
        try:
            answer = await self._ask("GET", f"/api/jobs/{_submission(ref)}")
        except ExecutorUnavailable:
            return UNKNOWN
        if answer.status_code == 404:
            return ABSENT
        if not answer.is_success:
            return UNKNOWN
        job = answer.json()
        if job["status"] in _LIVE:
            return ALIVE
        message, exit_status = _last_line(job.get("message") or ""), job.get("driver_exit_code")
        code = None
        if job["status"] == "FAILED" and exit_status is None:  # Ray itself gave up: another try would too
            code = "JOB_QUEUED_TOO_LONG" if job.get("error_type") == _QUEUED_TOO_LONG else "JOB_FAILED"
        return Sighting(Presence.ENDED, exit_status, code, message)

    async def terminate(self, ref: str) -> None:
        """Ray sends SIGTERM, and SIGKILL when STOP_WAIT_SECONDS are over."""
        try:
            await self._ask("POST", f"/api/jobs/{_submission(ref)}/stop")
        except ExecutorUnavailable:
            return  # the flag on the row is what stops it; this only helps

    async def kill(self, ref: str) -> None:
        """The same as terminate: Ray's API has no other word, and kills by itself."""
        await self.terminate(ref)

    async def log(self, operation: Operation, last_bytes: int) -> str | None:
        """The file in the shared home; what the job said before it could open that, from Ray."""
        kept = await asyncio.to_thread(read_end, log_path(self._logs, operation.operation_id), last_bytes)
        if kept or operation.executor_ref is None or not operation.executor_ref.startswith("ray:"):
            return kept
        try:
            answer = await self._ask("GET", f"/api/jobs/{_submission(operation.executor_ref)}/logs")
        except ExecutorUnavailable:
            return kept
        return str(answer.json()["logs"])[-last_bytes:] if answer.is_success else kept

    async def collect(self) -> None:
        """Ray reaps its own."""

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, json: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._client.request(method, path, json=json)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error

    def _unavailable(self, why: str) -> ExecutorUnavailable:
        return ExecutorUnavailable(
            f"Ray at {self._address} can't be used ({why}). Start it or correct KTRDR_RAY_ADDRESS."
        )


def submission_id(operation: Operation) -> str:
    """A job's name, the same for the same queueing of an operation and never used for another."""
    return f"{operation.operation_id}-{operation.attempt + 1}-{operation.revision}"


def _submission(ref: str) -> str:
    return ref.removeprefix("ray:")


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:SAID_CHARACTERS] if lines else "no reason given"
