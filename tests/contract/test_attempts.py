"""An attempt from its claim to its end: whatever ends it early, its last good state is in the checkpoint."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.policy import CheckpointPolicy
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType, Manifest, StoredCheckpoint
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import GRACEFUL_SHUTDOWN, NewOperation, Operation, OperationType, Status
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.operations import Operations
from ktrdr.persistence.unit_of_work import Database
from ktrdr.training.loop import EpochReport, Snapshot, train
from ktrdr.training.problem import build_problem
from ktrdr.workers import runner
from ktrdr.workers.jobs.files import STATE, unpack
from ktrdr.workers.jobs.training import epoch_watcher
from ktrdr.workers.runner import Job, Run, run_operation
from ktrdr.workers.writer import CheckpointWriter
from tests.integration.strategies import SMALL
from tests.markets import daily

ID = "op"
SECONDS = 10.0  # the bound of every wait
EXIT_SECONDS = 25.0
REQUEST = {"dataset": "nasdaq", "strategy_config": SMALL, "seed": 5}


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A worker takes two signals for itself; the test session has them back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Attempts:
    """One operation in a database, run in this process."""

    def __init__(self, url: str, artifacts: Path, request: Mapping[str, Any] = REQUEST) -> None:
        self.url = url
        self.artifacts = artifacts
        new = NewOperation(ID, OperationType.TRAINING, request)
        self.in_transaction(lambda tx: tx.operations.insert_if_absent(new))

    def run(self, job: Job) -> int:
        return run_operation(
            ID,
            connect=lambda: Database(self.url),
            artifacts=self.artifacts,
            catalog=Catalog(None),
            executor_ref="local:host:1:0",
            job_of=lambda _: job,
        )

    def requeue(self) -> None:
        assert self.in_transaction(lambda tx: tx.operations.requeue(ID, None))

    def in_transaction(self, do: Callable[[Any], Any]) -> Any:
        async def whole() -> Any:
            database = Database(self.url)
            await database.migrate()
            try:
                async with database.transaction() as tx:
                    return await do(tx)
            finally:
                await database.close()

        return asyncio.run(whole())

    def operation(self) -> Operation:
        found: Operation = self.in_transaction(lambda tx: tx.operations.get(ID))
        return found

    def checkpoint(self) -> StoredCheckpoint | None:
        found: StoredCheckpoint | None = self.in_transaction(lambda tx: tx.checkpoints.get(ID))
        return found


@pytest.fixture
def attempts(database_url: str, tmp_path: Path) -> Attempts:
    return Attempts(database_url, tmp_path / "artifacts")


def keep(run: Run, epoch: int, *, due: bool = False) -> None:
    content = str(epoch).encode()
    run.keep(
        {"epoch": epoch, "total_epochs": 99, "schema_version": SCHEMA_VERSION},
        lambda: {"tensors": content},
        due=due,
    )


def saved(attempts: Attempts) -> tuple[CheckpointType, int, bytes]:
    """The checkpoint's kind and epoch, and what its file holds."""
    found = attempts.checkpoint()
    assert found is not None
    assert found.artifacts is not None
    return (
        found.checkpoint_type,
        found.state["epoch"],
        read_generation(attempts.artifacts, found.artifacts)["tensors"],
    )


def test_a_failure_saves_the_last_good_state(attempts: Attempts) -> None:
    """Due or not: what raises in epoch 57 is resumed from epoch 56, and the row says what happened."""

    def job(run: Run) -> None:
        for epoch in range(1, 57):
            keep(run, epoch, due=epoch % 10 == 0)
        raise StepFailed("LOSS_NOT_FINITE", "The loss is nan in epoch 57.")

    assert attempts.run(job) == 1
    failed = attempts.operation()
    assert (failed.status, failed.error_code) == (Status.FAILED, "LOSS_NOT_FINITE")
    assert saved(attempts) == (CheckpointType.FAILURE, 56, b"56")


def test_failed_and_its_checkpoint_are_one_transaction(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If FAILED can't be written, neither is the row of its checkpoint."""

    def job(run: Run) -> None:
        keep(run, 1)
        raise MemoryError

    async def broken(*_: Any, **__: Any) -> bool:
        raise RuntimeError("no end is written")

    with monkeypatch.context() as patched:
        patched.setattr(Operations, "finish", broken)
        with pytest.raises(RuntimeError, match="no end is written"):
            attempts.run(job)
    assert attempts.operation().status is Status.RUNNING
    assert attempts.checkpoint() is None


def test_a_failure_before_the_first_state_leaves_the_checkpoint_as_it_was(attempts: Attempts) -> None:
    """A resume that fails at once can be resumed again."""

    def stops(run: Run) -> None:
        keep(run, 7)
        signal.raise_signal(signal.SIGTERM)
        assert run.should_stop()

    def fails(run: Run) -> None:
        assert run.checkpoint is not None
        assert run.checkpoint.state["epoch"] == 7
        raise OSError("the data is gone")

    assert attempts.run(stops) == 0
    assert attempts.operation().status is Status.CANCELLED
    assert saved(attempts) == (CheckpointType.SHUTDOWN, 7, b"7")
    attempts.requeue()
    assert attempts.run(fails) == 1
    assert saved(attempts) == (CheckpointType.SHUTDOWN, 7, b"7")


def test_a_stop_whose_state_found_no_disk_does_not_claim_to_be_saved(attempts: Attempts) -> None:
    """The message of CANCELLED and the warning with its progress say that the checkpoint was not written."""
    attempts.artifacts.mkdir()
    (attempts.artifacts / ID).write_bytes(b"not a directory")

    def job(run: Run) -> None:
        keep(run, 1)
        signal.raise_signal(signal.SIGTERM)

    assert attempts.run(job) == 0
    ended = attempts.operation()
    assert (ended.status, ended.error_message) == (
        Status.CANCELLED,
        "Graceful shutdown - its last checkpoint could not be written",
    )
    assert str(ended.progress.detail["warning"]).startswith("checkpoint not written: ")
    assert attempts.checkpoint() is None


def test_completed_leaves_no_checkpoint_behind(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a row nor the generation that was in the writing when the job was done."""
    entered, done = threading.Event(), threading.Event()

    def slow(root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest:
        entered.set()
        assert done.wait(SECONDS)
        return write_generation(root, operation_id, files)

    def job(run: Run) -> Mapping[str, Any]:
        keep(run, 1, due=True)
        assert entered.wait(SECONDS)
        threading.Timer(0.3, done.set).start()  # COMPLETED would be written by then, if it did not wait
        return {"done": True}

    monkeypatch.setattr(runner, "CheckpointWriter", partial(CheckpointWriter, write=slow))
    assert attempts.run(job) == 0
    assert attempts.operation().status is Status.COMPLETED
    assert attempts.checkpoint() is None
    assert not (attempts.artifacts / ID).exists()


def test_a_sigterm_in_a_slow_write_loses_nothing(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write in progress is waited for, then the last state is written: two writes, whatever was due."""
    entered, written = threading.Event(), list[bytes]()

    def slow(root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest:
        entered.set()
        threading.Event().wait(0.5)
        written.extend(files.values())
        return write_generation(root, operation_id, files)

    def job(run: Run) -> None:
        keep(run, 1, due=True)
        assert entered.wait(SECONDS)
        for epoch in range(2, 30):
            keep(run, epoch, due=True)
        signal.raise_signal(signal.SIGTERM)
        assert run.should_stop()

    monkeypatch.setattr(runner, "CheckpointWriter", partial(CheckpointWriter, write=slow))
    begun = time.monotonic()
    assert attempts.run(job) == 0
    assert time.monotonic() - begun < EXIT_SECONDS
    assert written == [b"1", b"29"]
    assert attempts.operation().error_message == GRACEFUL_SHUTDOWN
    assert saved(attempts) == (CheckpointType.SHUTDOWN, 29, b"29")


def test_a_loss_that_is_no_number_keeps_the_last_good_epoch(attempts: Attempts) -> None:
    """The real loop: the first network is trained, the second meets a NaN in its first epoch, and the
    checkpoint is the first one's last epoch, although none was due."""
    config = {**SMALL, "training": {**SMALL["training"], "epochs": 3}}

    def job(run: Run) -> Mapping[str, Any] | None:
        bars = load_development(Catalog(None), "nasdaq").until(700)
        problem = build_problem(daily(bars), parse_strategy(config), seed=3)
        watch = epoch_watcher(run, CheckpointPolicy(every_epochs=1000))

        def on_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
            problem.series[0].inputs[:] = float("nan")  # what the next network is going to be trained on
            return watch(report, snapshot)

        assert train(problem, None, on_epoch) is None
        return None

    assert attempts.run(job) == 1
    assert attempts.operation().error_code == "LOSS_NOT_FINITE"
    found = attempts.checkpoint()
    assert found is not None
    assert found.artifacts is not None
    assert (found.checkpoint_type, found.state["epoch"]) == (CheckpointType.FAILURE, 3)
    files = read_generation(attempts.artifacts, found.artifacts)
    assert json.loads(files[STATE])["fit"] == 1, "the first network is done"
    tensors, _ = unpack(files)
    weights = {name: one for name, one in tensors.items() if name.startswith("finished.")}
    assert weights
    assert all(bool(one.isfinite().all()) for one in weights.values())
