"""What a job refuses, and what is read of it while it goes on."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
import torch
from sqlalchemy import update

from ktrdr.api.services import history_service
from ktrdr.api.services.history_service import HistoryService
from ktrdr.checkpointing.artifacts import delete_generation, read_generation, write_generation
from ktrdr.checkpointing.policy import CheckpointPolicy
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType, Manifest, StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted, HistoryNotFound
from ktrdr.domain.fingerprints import Fingerprint, sha256_of
from ktrdr.persistence.tables import checkpoints
from ktrdr.persistence.unit_of_work import Database
from ktrdr.training.fitting import EpochScore
from ktrdr.training.history import History
from ktrdr.workers.jobs import training
from ktrdr.workers.jobs.files import pack
from ktrdr.workers.runner import Run
from tests.contract.test_attempts import ID, Attempts

STATE = {"epoch": 1, "total_epochs": 9, "schema_version": SCHEMA_VERSION}
FINGERPRINT = Fingerprint(None, None, "code", "settings")


@pytest.fixture
def attempts(database_url: str, tmp_path: Path) -> Attempts:
    return Attempts(database_url, tmp_path / "artifacts")


def files_after(epochs: int) -> dict[str, bytes]:
    """A checkpoint's files with a history of so many epochs."""
    history = History(epochs)
    for number in range(1, epochs + 1):
        history.add(1, number, EpochScore(1.0, 0.5, None, None, 0.001))
    return pack({"history": history.table()}, {"device": "cuda:0"})


def put(attempts: Attempts, epochs: int) -> Manifest:
    """A generation of that many epochs, and the row that points at it."""
    manifest = write_generation(attempts.artifacts, ID, files_after(epochs))
    kind = CheckpointType.PERIODIC
    attempts.in_transaction(lambda tx: tx.checkpoints.save(ID, 0, kind, STATE, manifest, FINGERPRINT))
    return manifest


def epochs_of(attempts: Attempts) -> int:
    async def read() -> int:
        database = Database(attempts.url)
        try:
            return len((await HistoryService(database, attempts.artifacts).get(ID)).epochs)
        finally:
            await database.close()

    return asyncio.run(read())


def test_a_training_of_a_gpu_is_not_resumed_on_the_cpu(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end in other weights; the refusal leaves the checkpoint as it was."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)

    def stops(run: Run) -> None:
        run.keep(STATE, lambda: files_after(1), due=True)

    assert attempts.run(stops) == 0
    before = attempts.checkpoint()
    attempts.requeue()
    assert attempts.run(partial(training.run, policy=CheckpointPolicy(1))) == 1
    assert attempts.operation().error_code == "DEVICE_MISSING"
    assert before is not None
    assert attempts.checkpoint() == before
    assert epochs_of(attempts) == 1


def as_version(attempts: Attempts, version: int) -> None:
    """The row as a ktrdr of that schema version would have written it."""
    stored = attempts.checkpoint()
    assert stored is not None
    state = {**stored.state, "schema_version": version}
    digest = sha256_of([ID, stored.sequence, state])
    row = update(checkpoints).values(schema_version=version, state=state, state_sha256=digest, seal=None)
    attempts.in_transaction(lambda tx: tx.connection.execute(row))


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 1])
def test_a_worker_refuses_another_versions_checkpoint_and_leaves_it(attempts: Attempts, version: int) -> None:
    """Instead of beginning anew over it."""
    put(attempts, 1)
    as_version(attempts, version)
    before = attempts.checkpoint()
    assert attempts.run(lambda _: pytest.fail("the job was begun")) == 1
    assert attempts.operation().error_code == "CHECKPOINT_INCOMPATIBLE"
    assert attempts.checkpoint() == before
    assert before is not None
    assert before.artifacts is not None
    assert read_generation(attempts.artifacts, before.artifacts) == files_after(1)


def test_a_worker_goes_on_from_what_the_version_before_wrote(attempts: Attempts) -> None:
    put(attempts, 1)
    as_version(attempts, 2)
    seen: list[StoredCheckpoint | None] = []

    def looks(run: Run) -> None:
        seen.append(run.checkpoint)

    assert attempts.run(looks) == 0
    [found] = seen
    assert found is not None
    assert (found.schema_version, found.state) == (SCHEMA_VERSION, STATE)


def test_a_history_goes_on_while_it_is_read(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generation may be superseded between the look at the row and the look at the file."""
    first = put(attempts, 1)
    reads = 0

    def superseded(root: Path, manifest: Manifest) -> dict[str, bytes]:
        nonlocal reads
        reads += 1
        if reads == 1:
            put(attempts, 2)
            delete_generation(root, first)
        return read_generation(root, manifest)

    monkeypatch.setattr(history_service, "read_generation", superseded)
    assert (epochs_of(attempts), reads) == (2, 2)


def test_a_history_whose_file_is_gone_is_corrupted_and_one_that_was_never_saved_is_missing(
    attempts: Attempts,
) -> None:
    with pytest.raises(HistoryNotFound, match="no epoch of it was saved yet"):
        epochs_of(attempts)
    delete_generation(attempts.artifacts, put(attempts, 1))
    with pytest.raises(CheckpointCorrupted, match="tensors"):
        epochs_of(attempts)
