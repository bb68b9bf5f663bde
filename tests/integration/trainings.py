"""Trainings without a session: start one, watch its epochs, find its process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psutil

from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.persistence.unit_of_work import Database
from ktrdr.processes import pid_of, process_reference
from tests.integration.backend import Backend, eventually
from tests.integration.strategies import SMALL

SEED = 11
LOST = "Worker became unavailable - checkpoint available for resume"
LOST_WITHOUT = "Worker became unavailable - no checkpoint available"


def lasting(epochs: int) -> dict[str, Any]:
    """SMALL with that many epochs a network (it has three, and an epoch takes some milliseconds)."""
    return {**SMALL, "training": {**SMALL["training"], "epochs": epochs}}


STEADY = SMALL  # seconds: long enough to be stopped in, short enough to be finished
ENDLESS = lasting(10_000)  # minutes: only ever ended by a test


def begin(backend: Backend, strategy: Mapping[str, Any], *, seed: int = SEED, **more: Any) -> str:
    """Start a training; its operation's id."""
    body = {"strategy": strategy, "dataset": "nasdaq", "seed": seed, **more}
    answer = backend.client.post("/training/start", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["operation_id"])


def begun(backend: Backend, strategy: Mapping[str, Any]) -> str:
    """A training that is in its epochs and has a checkpoint."""
    training = begin(backend, strategy)
    await_checkpoint(backend, training)
    return training


def await_checkpoint(backend: Backend, training: str) -> Mapping[str, Any]:
    def look() -> Mapping[str, Any] | None:
        found = backend.operation(training)
        return found if found["status"] == "RUNNING" and found["checkpoint"] is not None else None

    return eventually(look, within=60.0, what=f"a checkpoint of {training}; {said_by(backend, training)}")


def await_completed(backend: Backend, operation_id: str, *, within: float = 120.0) -> Mapping[str, Any]:
    """The operation once it is COMPLETED; any other end fails at once."""

    def look() -> Mapping[str, Any] | None:
        answer = backend.client.get(f"/operations/{operation_id}")
        if answer.status_code == 503:
            return None
        found: Mapping[str, Any] = answer.json()["data"]
        assert found["status"] not in ("FAILED", "CANCELLED"), found["error_message"]
        return found if found["status"] == "COMPLETED" else None

    what = f"{operation_id} COMPLETED; {said_by(backend, operation_id)}"
    return eventually(look, within=within, what=what)


def epoch_of(operation: Mapping[str, Any]) -> int:
    return count_of(operation, "epoch")


def count_of(operation: Mapping[str, Any], unit: str) -> int:
    """How many epochs, or bars, are done."""
    return int(operation["progress"]["detail"].get(unit, 0))


def await_epoch(backend: Backend, training: str, *, after: int) -> Mapping[str, Any]:
    """The operation once it is RUNNING at a later epoch."""

    def look() -> Mapping[str, Any] | None:
        found = backend.operation(training)
        return found if found["status"] == "RUNNING" and epoch_of(found) > after else None

    return eventually(look, within=60.0, what=f"{training} after epoch {after}; {said_by(backend, training)}")


def worker_of(backend: Backend, training: str) -> psutil.Process:
    """The process that the operation's row names."""
    ref = str(backend.operation(training)["executor_ref"])
    pid = pid_of(ref)
    assert pid is not None, f"{ref} is no process of this machine"
    process = psutil.Process(pid)
    assert process_reference(pid) == ref, "the pid is another process's by now"
    return process


def is_gone(process: psutil.Process) -> bool:
    """True when the process has exited, collected by its parent or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def said_by(backend: Backend, training: str) -> str:
    """The end of a worker's log."""
    path = backend.home / "logs" / f"{training}.log"
    return path.read_text()[-1500:] if path.exists() else "(no log)"


def stored_checkpoint(url: str, operation_id: str) -> StoredCheckpoint | None:
    """The checkpoint's row, with the attempt that wrote it."""

    async def read() -> StoredCheckpoint | None:
        database = Database(url)
        try:
            async with database.read() as tx:
                return await tx.checkpoints.get(operation_id)
        finally:
            await database.close()

    return asyncio.run(read())
