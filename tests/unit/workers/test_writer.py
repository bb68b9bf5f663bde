"""The writer: the computing thread goes on at once, the disk gets what it can take, nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.schemas import CheckpointType, Manifest, StoredCheckpoint
from ktrdr.domain.operations import Event, NewOperation, Operation, OperationType
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.recorder import Pointer, Recorder
from ktrdr.workers.writer import CheckpointWriter, Kept
from tests.contract.support import FINGERPRINT
from tests.integration.backend import eventually

ID = "op"
SECONDS = 10.0  # the bound of every wait


def kept(epoch: int) -> Kept:
    content = f"the tensors of epoch {epoch}".encode()
    return Kept({"epoch": epoch, "schema_version": 1}, lambda: {"tensors": content})


class SlowDisk:
    """The real `write_generation`, behind a door that a test opens."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.door = threading.Semaphore(0)
        self.written: list[bytes] = []

    def __call__(self, root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest:
        self.entered.release()
        assert self.door.acquire(timeout=SECONDS)
        manifest = write_generation(root, operation_id, files)
        self.written += files.values()
        return manifest

    def open(self, times: int = 100) -> None:
        self.door.release(times)

    def await_writer(self) -> None:
        assert self.entered.acquire(timeout=SECONDS), "nothing is being written"


class Attempt:
    """A claimed operation with its recorder on SQLite, and its writer."""

    def __init__(self, home: Path) -> None:
        self.artifacts = home / "artifacts"
        self.url = f"sqlite+aiosqlite:///{home / 'ktrdr.db'}"
        self.in_transaction(
            lambda tx: tx.operations.insert_if_absent(NewOperation(ID, OperationType.TRAINING, {}))
        )
        self.recorder = Recorder(lambda: Database(self.url), self.artifacts)
        self.recorder.start()
        assert self.recorder.claim(ID, "host", "local:host:1:0") is not None
        self.disk = SlowDisk()
        self.writer = CheckpointWriter(self.recorder, self.artifacts, ID, self.disk)

    def begin(self) -> None:
        """From here on what is offered is recorded."""
        self.recorder.begin(FINGERPRINT, self.writer.wake)

    def cancel(self, last: Pointer | None) -> None:
        assert self.recorder.finish(Event.CANCEL, last, error_message="ended by the test")

    def close(self) -> None:
        self.disk.open()
        self.writer.close()
        self.recorder.close()

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

    def row(self) -> StoredCheckpoint | None:
        found: StoredCheckpoint | None = self.in_transaction(lambda tx: tx.checkpoints.get(ID))
        return found

    def operation(self) -> Operation:
        found: Operation = self.in_transaction(lambda tx: tx.operations.get(ID))
        return found

    def await_row(self, epoch: int) -> StoredCheckpoint:
        """The checkpoint once it is that epoch's; its files are whole."""

        def look() -> StoredCheckpoint | None:
            found = self.row()
            return found if found is not None and found.state["epoch"] == epoch else None

        found = eventually(look, within=SECONDS, what=f"a row of epoch {epoch}")
        assert found.artifacts is not None
        read = read_generation(self.artifacts, found.artifacts)
        assert read == {"tensors": f"the tensors of epoch {epoch}".encode()}
        return found

    def generations(self) -> list[str]:
        parent = self.artifacts / ID
        return sorted(path.name for path in parent.iterdir()) if parent.exists() else []


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    monkeypatch.setattr("ktrdr.workers.recorder.RECORD_SECONDS", 0.0)
    monkeypatch.setattr("ktrdr.workers.recorder.HEARTBEAT_SECONDS", 0.05)
    one = Attempt(tmp_path)
    yield one
    one.close()


def test_a_slow_disk_costs_states_and_neither_time_nor_memory(attempt: Attempt) -> None:
    """While the disk stands still one state is in the writing and the latest waits; the others are gone."""
    attempt.begin()
    attempt.writer.keep(kept(1), due=True)
    attempt.disk.await_writer()
    alive: list[weakref.ref[Kept]] = []
    for epoch in range(2, 102):
        one = kept(epoch)
        alive.append(weakref.ref(one))
        attempt.writer.keep(one, due=True)
    del one
    gc.collect()
    assert [number for number, one in enumerate(alive, start=2) if one() is not None] == [101]
    attempt.disk.open()
    attempt.await_row(101)
    assert attempt.disk.written == [b"the tensors of epoch 1", b"the tensors of epoch 101"]


def test_files_are_made_in_the_writers_thread(attempt: Attempt) -> None:
    """Packing and hashing cost the computing thread nothing."""
    attempt.begin()
    attempt.disk.open()
    threads: list[str] = []

    def files() -> dict[str, bytes]:
        threads.append(threading.current_thread().name)
        return {"tensors": b"the tensors of epoch 1"}

    attempt.writer.keep(Kept({"epoch": 1}, files), due=True)
    attempt.await_row(1)
    assert [name.startswith("checkpoint-writer") for name in threads] == [True]


def test_what_is_not_due_is_not_written_until_the_attempt_ends(attempt: Attempt) -> None:
    """The latest state is the one that an early end writes, with the kind of that end."""
    attempt.begin()
    attempt.disk.open()
    attempt.writer.keep(kept(1), due=True)
    attempt.await_row(1)
    for epoch in (2, 3, 4):
        attempt.writer.keep(kept(epoch), due=False)
    attempt.cancel(attempt.writer.flush(CheckpointType.FAILURE))
    assert attempt.await_row(4).checkpoint_type is CheckpointType.FAILURE
    assert attempt.disk.written == [b"the tensors of epoch 1", b"the tensors of epoch 4"]
    assert len(attempt.generations()) == 1, "the older generation is gone with its row"


def test_what_is_due_and_waits_is_replaced_by_what_is_newer(attempt: Attempt) -> None:
    """A state that was due when the disk was busy is written as the latest one, due or not."""
    attempt.begin()
    attempt.writer.keep(kept(1), due=True)
    attempt.disk.await_writer()
    attempt.writer.keep(kept(2), due=True)
    attempt.writer.keep(kept(3), due=False)
    attempt.disk.open()
    attempt.await_row(3)


def test_a_flush_waits_for_the_write_in_progress_and_then_writes_the_latest(attempt: Attempt) -> None:
    """SIGTERM during a slow write: both are written, in order, before the flush returns."""
    attempt.begin()
    attempt.writer.keep(kept(1), due=True)
    attempt.disk.await_writer()
    attempt.writer.keep(kept(2), due=False)
    saved: list[Pointer | None] = []
    flush = threading.Thread(target=lambda: saved.append(attempt.writer.flush(CheckpointType.SHUTDOWN)))
    flush.start()
    attempt.disk.open(1)
    attempt.disk.await_writer()
    attempt.await_row(1)  # the one before is recorded while the last one is still in the writing
    assert flush.is_alive()
    attempt.disk.open(1)
    flush.join(SECONDS)
    attempt.cancel(saved[0])
    assert attempt.await_row(2).checkpoint_type is CheckpointType.SHUTDOWN


def test_a_state_that_is_on_disk_is_not_written_again(attempt: Attempt) -> None:
    """A cancel right behind a periodic checkpoint changes the row's kind, not the files."""
    attempt.begin()
    attempt.disk.open()
    attempt.writer.keep(kept(1), due=True)
    before = attempt.await_row(1)
    assert before.checkpoint_type is CheckpointType.PERIODIC
    attempt.cancel(attempt.writer.flush(CheckpointType.CANCELLATION))
    after = attempt.await_row(1)
    assert (after.checkpoint_type, after.artifacts) == (CheckpointType.CANCELLATION, before.artifacts)
    assert len(attempt.disk.written) == 1


def test_nothing_is_written_while_the_last_one_is_not_recorded(attempt: Attempt) -> None:
    """A database that is away costs one generation of disk, however long it is away."""
    attempt.disk.open()
    attempt.writer.keep(kept(1), due=True)
    eventually(lambda: bool(attempt.disk.written), within=SECONDS, what="the first generation")
    for epoch in range(2, 20):
        attempt.writer.keep(kept(epoch), due=True)
    assert attempt.disk.written == [b"the tensors of epoch 1"]
    attempt.begin()  # it is back
    attempt.await_row(19)


def test_a_state_that_came_too_soon_is_written_without_another(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows keep a distance; what was due within it is written when it is over, although no epoch ends."""
    monkeypatch.setattr("ktrdr.workers.recorder.RECORD_SECONDS", 0.3)
    attempt.begin()
    attempt.disk.open()
    attempt.writer.keep(kept(1), due=True)
    attempt.await_row(1)
    first = time.monotonic()
    attempt.writer.keep(kept(2), due=True)
    attempt.await_row(2)
    assert time.monotonic() - first > 0.1


def test_a_disk_that_takes_nothing_is_a_warning(attempt: Attempt) -> None:
    """The run goes on, the checkpoint before stays good, and the next one that succeeds ends the warning."""
    attempt.begin()
    attempt.disk.open()
    attempt.writer.keep(kept(1), due=True)
    attempt.await_row(1)
    whole, aside = attempt.artifacts / ID, attempt.artifacts / "aside"
    whole.rename(aside)
    whole.write_bytes(b"not a directory")
    attempt.writer.keep(kept(2), due=True)

    def warned() -> bool:
        shown = attempt.operation().progress.detail.get("warning", "")
        return str(shown).startswith("checkpoint not written: ")

    eventually(warned, within=SECONDS, what="the warning")
    whole.unlink()
    aside.rename(whole)
    attempt.await_row(1)
    attempt.writer.keep(kept(3), due=True)
    attempt.await_row(3)
    eventually(lambda: not warned(), within=SECONDS, what="the end of the warning")


def test_a_flush_that_finds_no_disk_says_so(attempt: Attempt) -> None:
    """The end of the attempt is told that its last state was not saved."""
    attempt.begin()
    attempt.disk.open()
    attempt.artifacts.mkdir(exist_ok=True)
    (attempt.artifacts / ID).write_bytes(b"not a directory")
    attempt.writer.keep(kept(1), due=False)
    last = attempt.writer.flush(CheckpointType.CANCELLATION)
    assert last is None
    attempt.cancel(last)
    assert attempt.row() is None


def test_an_error_that_is_not_the_disks_ends_the_run(attempt: Attempt) -> None:
    """A state that can't be written at all is told to the computing thread when it hands over the next."""
    attempt.begin()
    attempt.disk.open()
    attempt.writer.keep(Kept({"epoch": 1}, lambda: {"../escape": b""}), due=True)

    def told() -> bool:
        try:
            attempt.writer.keep(kept(2), due=False)
        except ValueError as error:
            return "not a safe name" in str(error)
        return False

    eventually(told, within=SECONDS, what="the ValueError")
    assert attempt.writer.flush(CheckpointType.FAILURE) is not None, "the next one is good"


def test_a_fenced_attempt_writes_nothing(attempt: Attempt) -> None:
    """Neither a due state nor the last one, once another attempt owns the operation."""
    attempt.disk.open()
    attempt.recorder.fenced.set()
    attempt.writer.keep(kept(1), due=True)
    assert attempt.writer.flush(CheckpointType.SHUTDOWN) is None
    assert (attempt.disk.written, attempt.generations()) == ([], [])


def test_an_attempt_that_is_fenced_in_the_writing_leaves_no_files(attempt: Attempt) -> None:
    """Nobody would ever point at them."""
    attempt.writer.keep(kept(1), due=True)
    attempt.disk.await_writer()
    attempt.recorder.fenced.set()
    attempt.disk.open()
    attempt.writer.close()
    assert attempt.disk.written == [b"the tensors of epoch 1"]
    assert attempt.generations() == []


def test_closing_waits_for_the_write_in_progress_and_drops_what_waits(attempt: Attempt) -> None:
    """After COMPLETED deleted the checkpoint's files, no late generation appears."""
    attempt.begin()
    attempt.writer.keep(kept(1), due=True)
    attempt.disk.await_writer()
    attempt.writer.keep(kept(2), due=True)
    closing = threading.Thread(target=attempt.writer.close)
    closing.start()
    assert closing.is_alive()
    attempt.disk.open()
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert attempt.recorder.finish(Event.COMPLETE, result={})
    assert attempt.disk.written == [b"the tensors of epoch 1"]
    assert attempt.generations() == []
