"""The worker's database thread: it ends when it is told to, at whatever moment that is."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from ktrdr.checkpointing.artifacts import generations, write_generation
from ktrdr.checkpointing.schemas import CheckpointType, TrainingCheckpointState
from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.recorder import Claimed, Pointer, Recorder
from tests.contract.support import FINGERPRINT, Away

ROUNDS = 40
BOUND_SECONDS = 20.0


def create(url: str, names: list[str]) -> None:
    async def insert() -> None:
        database = Database(url)
        await database.migrate()
        async with database.transaction() as tx:
            for name in names:
                await tx.operations.insert_if_absent(NewOperation(name, OperationType.TRAINING, {}))
        await database.close()

    asyncio.run(insert())


def status_of(url: str, name: str) -> Status:
    async def look() -> Status:
        database = Database(url)
        async with database.read() as tx:
            found = await tx.operations.get(name)
        await database.close()
        return found.status

    return asyncio.run(look())


def run_once(url: str, artifacts: Path, name: str, ended: threading.Event) -> None:
    """Claim, beat, offer a checkpoint, and end in the same instant, as a cancelled training does."""
    recorder = Recorder(lambda: Database(url), artifacts)
    recorder.start()
    assert recorder.claim(name, "host", "local:host:1:0") is not None
    recorder.begin(FINGERPRINT)
    state = TrainingCheckpointState(epoch=1, total_epochs=2).to_json()
    recorder.offer(Pointer(CheckpointType.PERIODIC, state, None))
    ended.wait(0.15)  # the heartbeat has recorded the first one and waits for the next
    recorder.offer(Pointer(CheckpointType.CANCELLATION, state, None))
    assert recorder.finish(Event.CANCEL, error_message="Cancelled - checkpoint saved")
    recorder.close()
    ended.set()


def test_an_end_right_behind_a_checkpoint_is_never_lost(database_url: str, tmp_path: Path) -> None:
    """The last checkpoint wakes the heartbeat at the moment the run ends; neither may hide the other."""
    names = [f"op_{number}" for number in range(ROUNDS)]
    create(database_url, names)
    for name in names:
        ended = threading.Event()
        thread = threading.Thread(target=run_once, args=(database_url, tmp_path, name, ended), daemon=True)
        thread.start()
        thread.join(BOUND_SECONDS)
        if not ended.is_set():
            pytest.fail(f"{name}: the end of the run was not written within {BOUND_SECONDS} s")
    assert status_of(database_url, names[-1]) is Status.CANCELLED


def test_a_claim_waits_for_the_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts while its database can't be reached claims its operation once it can."""
    create(database_url, ["op"])
    outages = iter([DatabaseUnavailable("away"), DatabaseUnavailable("away"), None])
    claim_once = Recorder._claim_once

    async def claim(recorder: Recorder, *names: Any) -> Claimed | None:
        if outage := next(outages):
            raise outage
        return await claim_once(recorder, *names)

    monkeypatch.setattr(Recorder, "_claim_once", claim)
    monkeypatch.setattr("ktrdr.workers.recorder.HEARTBEAT_SECONDS", 0.01)
    recorder = Recorder(lambda: Database(database_url), tmp_path)
    recorder.start()
    assert recorder.claim("op", "host", "local:host:1:0") is not None
    recorder.close()
    assert status_of(database_url, "op") is Status.RUNNING


def test_a_worker_that_is_told_to_end_does_not_wait_for_a_claim(tmp_path: Path) -> None:
    """SIGTERM ends the wait for a database that can't be reached, well within the grace period."""
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    recorder = Recorder(lambda: Database(url), tmp_path, told_to_end=lambda: True)
    recorder.start()
    with pytest.raises(DatabaseUnavailable):
        recorder.claim("op", "host", "local:host:1:0")
    recorder.close()


def begun(url: str, artifacts: Path, *, committed: bool, at: int) -> tuple[Recorder, Claimed | None]:
    """A worker whose database goes away in one of its commits, and what it claimed."""
    create(url, ["op"])
    recorder = Recorder(lambda: Away(url, committed, at), artifacts)
    recorder.start()
    return recorder, recorder.claim("op", "host", "local:host:1:0")


@pytest.mark.parametrize("committed", [True, False])
def test_a_claim_whose_answer_is_lost_is_this_workers(
    database_url: str, tmp_path: Path, committed: bool
) -> None:
    """Else it would leave, and a lease later a run that nothing ailed would be FAILED."""
    recorder, claimed = begun(database_url, tmp_path, committed=committed, at=1)
    recorder.close()
    assert claimed is not None
    assert claimed.operation.attempt == 1


def test_a_claim_in_doubt_is_not_taken_from_another(database_url: str, tmp_path: Path) -> None:
    recorder, claimed = begun(database_url, tmp_path, committed=True, at=1)
    assert claimed is not None
    other = Recorder(lambda: Away(database_url, committed=True), tmp_path)
    other.start()
    assert other.claim("op", "host", "local:host:2:0") is None
    other.close()
    recorder.close()


@pytest.mark.parametrize("committed", [True, False])
def test_an_end_whose_answer_is_lost_is_this_workers(
    database_url: str, tmp_path: Path, committed: bool
) -> None:
    """It cleans up behind itself, as after any other end."""
    recorder, claimed = begun(database_url, tmp_path, committed=committed, at=2)
    assert claimed is not None
    write_generation(tmp_path, "op", {"tensors.safetensors": b"weights"})
    assert recorder.finish(Event.COMPLETE, result={"accuracy": 0.5})
    recorder.close()
    assert status_of(database_url, "op") is Status.COMPLETED
    assert generations(tmp_path, "op") == frozenset()
