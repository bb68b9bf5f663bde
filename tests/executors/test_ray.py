"""Workers as jobs of a real Ray cluster; `make test-ray` installs Ray and runs these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ktrdr.domain.errors import ExecutorUnavailable, StepFailed
from ktrdr.domain.operations import Resources, Status
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.dispatcher import Dispatcher
from ktrdr.workers.executors.executor import Presence
from ktrdr.workers.executors.ray import RayExecutor
from tests.executors.contract import LONG, ExecutorContract, ends, eventually, reaches, waiting
from tests.executors.ray_cluster import RayCluster, free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.ray]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    one = RayCluster()
    yield one
    one.stop()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """An engine knows no database; sessions on Ray are tested on both."""
    return f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}"


@pytest.fixture
def environment(tmp_path: Path, database_url: str) -> dict[str, str]:
    """What a job is told; these databases have no password."""
    return {"KTRDR_HOME": str(tmp_path), "KTRDR_DATABASE_URL": database_url}


@pytest.fixture
async def executor(
    cluster: RayCluster, tmp_path: Path, environment: dict[str, str]
) -> AsyncIterator[RayExecutor]:
    one = RayExecutor(cluster.address, cluster.token, logs=tmp_path / "logs", environment=environment)
    yield one
    await one.close()


class TestRayExecutor(ExecutorContract):
    """The contract, with Ray."""


async def test_a_lost_answer_does_not_lose_the_job(executor: RayExecutor, database: Database) -> None:
    """Ray takes a name once: submitting the same queueing again finds the job that is there."""
    operation = await waiting(database, epochs=2)
    assert await executor.submit(operation) == await executor.submit(operation)
    done = await reaches(database, operation.operation_id, Status.COMPLETED, Status.FAILED)
    assert (done.status, done.attempt) == (Status.COMPLETED, 1)


async def test_a_job_that_cannot_begin_fails_with_its_log(
    cluster: RayCluster, database: Database, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Nothing can be written to the home yet: what Python said comes from Ray."""
    broken = {**environment, "PYTHONPATH": "/nowhere", "KTRDR_PORT": "no number"}
    executor = RayExecutor(cluster.address, cluster.token, logs=tmp_path / "logs", environment=broken)
    dispatcher = Dispatcher(database, executor, grace_seconds=25.0, wait_seconds=0.0)
    operation = await waiting(database, epochs=2)
    await dispatcher.tick()

    async def failed() -> bool:
        await dispatcher.tick()
        async with database.read() as tx:
            return (await tx.operations.get(operation.operation_id)).status is Status.FAILED

    await eventually(failed, within=60.0, what="FAILED")
    found = await reaches(database, operation.operation_id, Status.FAILED)
    assert found.error_code == "WORKER_START_FAILED"
    assert found.error_details is not None
    assert found.error_details["exit_status"] == 1
    assert "KTRDR_PORT" in found.error_details["log"] or "port" in found.error_details["log"]
    await executor.close()


async def test_a_wrong_token_is_refused_at_once(
    cluster: RayCluster, database: Database, tmp_path: Path
) -> None:
    for token in (None, "not-the-token"):
        executor = RayExecutor(cluster.address, token, logs=tmp_path, environment={})
        operation = await waiting(database, epochs=2)
        with pytest.raises(StepFailed) as refused:
            await executor.submit(operation)
        assert refused.value.step_code == "EXECUTOR_UNAUTHORIZED"
        assert "KTRDR_RAY_TOKEN" in refused.value.message
        assert (await executor.look("ray:anything")).presence is Presence.UNKNOWN
        await executor.close()


async def test_an_unreachable_cluster_is_waited_for_and_then_named(
    database: Database, tmp_path: Path
) -> None:
    executor = RayExecutor(f"http://127.0.0.1:{free_ports(1)[0]}", None, logs=tmp_path, environment={})
    operation = await waiting(database, epochs=2)
    with pytest.raises(ExecutorUnavailable, match="KTRDR_RAY_ADDRESS"):
        await executor.submit(operation)
    assert (await executor.look("ray:anything")).presence is Presence.UNKNOWN
    patient = Dispatcher(database, executor, grace_seconds=25.0, wait_seconds=60.0)
    await patient.tick()
    assert (await reaches(database, operation.operation_id, Status.PENDING)).error_code is None
    impatient = Dispatcher(database, executor, grace_seconds=25.0, wait_seconds=0.0)
    await impatient.tick()
    assert (
        await reaches(database, operation.operation_id, Status.FAILED)
    ).error_code == "EXECUTOR_UNAVAILABLE"
    await executor.close()


async def test_a_job_that_is_queued_too_long_fails(
    database: Database, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Ray gives up on a job for which it never had the GPU; the operation says so."""
    hasty = RayCluster(RAY_JOB_START_TIMEOUT_SECONDS="3")
    try:
        executor = RayExecutor(hasty.address, hasty.token, logs=tmp_path, environment=environment)
        operation = await waiting(database, epochs=LONG, resources=Resources(num_gpus=1.0))
        ref = await executor.submit(operation)
        assert (await executor.look(ref)).presence is Presence.ALIVE
        await ends(executor, ref)
        assert (await executor.look(ref)).code == "JOB_QUEUED_TOO_LONG"
        await executor.close()
    finally:
        hasty.stop()
