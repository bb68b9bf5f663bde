"""What every engine has to do, shown with real workers on real operations.

A test module makes a class of this for its engine and gives it the fixture `executor`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psutil
import pytest

from ktrdr.domain.operations import (
    GRACEFUL_SHUTDOWN,
    NewOperation,
    Operation,
    OperationType,
    Resources,
    Status,
)
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.executors.executor import KILLED, OperationExecutor, Presence
from tests.integration.strategies import SMALL

T = TypeVar("T")
SHORT, LONG = 2, 9_000


async def eventually(look: Callable[[], Awaitable[T | None]], *, within: float, what: str) -> T:
    """The first answer that is neither None nor False."""
    deadline = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < deadline:
        found = await look()
        if found is not None and found is not False:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"not seen within {within} s: {what}")


async def waiting(database: Database, *, epochs: int, **fields: Any) -> Operation:
    """A PENDING training, under an id that no other test on this machine has."""
    operation_id = f"training_{uuid.uuid4().hex[:12]}"
    strategy = {**SMALL, "training": {**SMALL["training"], "epochs": epochs}}
    request = {"dataset": "nasdaq", "strategy_config": strategy, "seed": 1}
    async with database.transaction() as tx:
        await tx.operations.insert_if_absent(
            NewOperation(operation_id, OperationType.TRAINING, request, **fields)
        )
        return await tx.operations.get(operation_id)


async def reaches(
    database: Database, operation_id: str, *statuses: Status, within: float = 60.0
) -> Operation:
    """The operation once it is in one of the statuses."""

    async def look() -> Operation | None:
        async with database.read() as tx:
            found = await tx.operations.get(operation_id)
        return found if found.status in statuses else None

    return await eventually(look, within=within, what=f"{operation_id} {statuses}")


async def checkpointed(database: Database, operation_id: str) -> None:
    async def look() -> bool:
        async with database.read() as tx:
            operation = await tx.operations.get(operation_id)
            assert operation.status in (Status.PENDING, Status.RUNNING), operation.error_message
            return await tx.checkpoints.get(operation_id) is not None

    await eventually(look, within=60.0, what=f"a checkpoint of {operation_id}")


async def ends(executor: OperationExecutor, ref: str, *, within: float = 60.0) -> int | None:
    """The exit status of a worker, once the engine says that it has ended."""

    async def look() -> tuple[int | None] | None:
        seen = await executor.look(ref)
        return (seen.exit_status,) if seen.presence is Presence.ENDED else None

    return (await eventually(look, within=within, what=f"the end of {ref}"))[0]


def process_of(operation_id: str) -> psutil.Process:
    """The Python process that runs an operation, whatever started it."""
    for process in psutil.process_iter(["cmdline", "name"]):
        command = process.info["cmdline"] or []
        if operation_id in command and "python" in process.info["name"]:
            return process
    raise AssertionError(f"no process runs {operation_id}")


@pytest.mark.anyio
class ExecutorContract:
    """One engine over a migrated database; the workers find that database by their environment."""

    async def test_a_worker_claims_under_the_reference_that_submit_gave(
        self, executor: OperationExecutor, database: Database
    ) -> None:
        operation = await waiting(database, epochs=SHORT)
        ref = await executor.submit(operation)
        done = await reaches(database, operation.operation_id, Status.COMPLETED, Status.FAILED)
        assert (done.status, done.attempt, done.executor_ref) == (Status.COMPLETED, 1, ref), (
            done.error_details
        )
        assert await ends(executor, ref) == 0

    async def test_one_of_two_submissions_runs(self, executor: OperationExecutor, database: Database) -> None:
        """A backend that dies between submit and its row submits again; the claim lets one through."""
        operation = await waiting(database, epochs=SHORT)
        refs = {await executor.submit(operation), await executor.submit(operation)}
        done = await reaches(database, operation.operation_id, Status.COMPLETED, Status.FAILED)
        assert (done.status, done.attempt) == (Status.COMPLETED, 1)
        assert sorted([await ends(executor, ref) or 0 for ref in refs]) in ([0], [0, 3])

    async def test_terminate_saves_a_checkpoint_and_stops(
        self, executor: OperationExecutor, database: Database
    ) -> None:
        operation = await waiting(database, epochs=LONG)
        ref = await executor.submit(operation)
        await checkpointed(database, operation.operation_id)
        assert (await executor.look(ref)).presence is Presence.ALIVE
        await executor.terminate(ref)
        stopped = await reaches(database, operation.operation_id, Status.CANCELLED, within=25.0)
        assert stopped.error_message == GRACEFUL_SHUTDOWN
        async with database.read() as tx:
            kept = await tx.checkpoints.get(operation.operation_id)
        assert kept is not None
        assert kept.checkpoint_type == "shutdown"
        await ends(executor, ref)

    async def test_kill_ends_what_does_not_stop(
        self, executor: OperationExecutor, database: Database
    ) -> None:
        """A stopped process handles no SIGTERM."""
        operation = await waiting(database, epochs=LONG)
        ref = await executor.submit(operation)
        await checkpointed(database, operation.operation_id)
        process_of(operation.operation_id).send_signal(signal.SIGSTOP)
        await executor.kill(ref)
        await ends(executor, ref, within=40.0)

    async def test_a_killed_worker_is_told_from_one_that_failed(
        self, executor: OperationExecutor, database: Database
    ) -> None:
        """137 is what a worker that ran out of memory leaves too."""
        operation = await waiting(database, epochs=LONG)
        ref = await executor.submit(operation)
        await checkpointed(database, operation.operation_id)
        process_of(operation.operation_id).send_signal(signal.SIGKILL)
        assert await ends(executor, ref) == KILLED

    async def test_a_worker_that_has_nothing_to_claim_leaves(
        self, executor: OperationExecutor, database: Database
    ) -> None:
        operation = await waiting(database, epochs=SHORT)
        async with database.transaction() as tx:
            assert await tx.operations.cancel_pending(operation.operation_id)
        assert await ends(executor, await executor.submit(operation)) == 3
        said = await executor.log(operation, 10_000)
        assert said is not None
        assert f"{operation.operation_id} is not PENDING" in said

    async def test_a_stranger_is_not_alive(self, executor: OperationExecutor) -> None:
        """A reference of another kind of engine, or one that this engine never gave."""
        assert (await executor.look("other:job")).presence is Presence.ABSENT
        never = f"local:{os.uname().nodename}:1:1.00" if executor.slots else "ray:never-submitted-1-1"
        assert (await executor.look(never)).presence in (Presence.ABSENT, Presence.ENDED)

    async def test_cpus_are_threads(self, executor: OperationExecutor, database: Database) -> None:
        operation = await waiting(database, epochs=LONG, resources=Resources(num_cpus=2))
        ref = await executor.submit(operation)
        await reaches(database, operation.operation_id, Status.RUNNING)
        assert process_of(operation.operation_id).environ()["OMP_NUM_THREADS"] == "2"
        await executor.terminate(ref)
        await ends(executor, ref)

    async def test_what_never_ran_has_no_log(self, executor: OperationExecutor, database: Database) -> None:
        assert await executor.log(await waiting(database, epochs=SHORT), 1000) is None
