"""A worker's thread to the disk: it writes checkpoints behind the back of the computing thread.

A state is handed over when it is made and written when it is due. There is room for one in the
writing and one that waits, and the latest wins: a slow disk costs old states, never memory or time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ktrdr.checkpointing.artifacts import delete_generation, write_generation
from ktrdr.checkpointing.schemas import CheckpointType, Manifest
from ktrdr.workers.recorder import Pointer, Recorder

log = logging.getLogger(__name__)

Files = Callable[[], Mapping[str, bytes]]


class WriteGeneration(Protocol):
    """`artifacts.write_generation`, or what stands for a disk of another kind."""

    def __call__(self, root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest: ...


@dataclass(frozen=True, eq=False)
class Kept:
    """A state that a run can go on from.

    `files` makes the bytes of its files. It is called in the writer's thread, so what it reads is the
    state's own: nobody may change it any more. None: the state is all in the row.
    """

    state: Mapping[str, Any]
    files: Files | None = None


class CheckpointWriter:
    """Writes the states of one attempt and offers them to its recorder."""

    def __init__(
        self,
        recorder: Recorder,
        artifacts: Path,
        operation_id: str,
        write: WriteGeneration = write_generation,
    ) -> None:
        self._recorder = recorder
        self._artifacts = artifacts
        self._operation_id = operation_id
        self._write_generation = write
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-writer")
        self._lock = threading.Lock()
        self._latest: Kept | None = None
        self._due = False
        self._busy = False
        self._ended = False
        self._task: Future[None] | None = None
        self._written: tuple[Kept, Manifest | None] | None = None  # the writing thread's own

    def keep(self, kept: Kept, *, due: bool) -> None:
        """Hand over the state after the last one; returns at once.

        Not due, it is what a failure is resumed from. Raises what ended an earlier write, unless it
        was the disk: that is a warning, and the checkpoint before stays good.
        """
        with self._lock:
            self._latest = kept
            self._due = self._due or due
            task = self._task
        if task is not None and task.done():
            task.result()
        self.wake()

    def wake(self) -> None:
        """Begin to write if a state is due, none is in the writing, and the recorder is ready for it.

        While the database is away nothing new is written, so that the disk does not fill.
        """
        with self._lock:
            if self._ended or self._busy or not self._due or not self._recorder.ready():
                return
            assert self._latest is not None
            self._due = False
            self._busy = True
            self._task = self._thread.submit(self._write_and_offer, self._latest)

    def flush(self, kind: CheckpointType) -> Pointer | None:
        """Write the latest state, due or not: the attempt ends early, and `kind` says how.

        Waits for the disk; a checkpoint that is in the writing is recorded meanwhile. Returns what the
        attempt ends with, or None when there is no state or it could not be written: the checkpoint
        before is what is left.
        """
        with self._lock:
            self._ended = True
            latest = self._latest
        if latest is None:
            return None
        task = self._thread.submit(self._write, latest, kind)  # behind the one in the writing
        failure = task.exception()
        if failure is not None:
            log.error("the last checkpoint was not written", exc_info=failure)
            return None
        return task.result()

    def close(self) -> None:
        """Wait for the write in progress, and begin no other."""
        with self._lock:
            self._ended = True
        self._thread.shutdown()

    # In the writing thread.

    def _write_and_offer(self, kept: Kept) -> None:
        try:
            pointer = self._write(kept, CheckpointType.PERIODIC)
            if pointer is not None:
                self._recorder.offer(pointer)
        finally:
            with self._lock:
                self._busy = False

    def _write(self, kept: Kept, kind: CheckpointType) -> Pointer | None:
        if self._recorder.fenced.is_set():
            return None
        try:
            manifest = self._on_disk(kept)
        except OSError as error:  # a full disk must not end the run; the previous checkpoint stays good
            log.warning("the checkpoint was not written: %s", error)
            self._recorder.warn(f"checkpoint not written: {error.strerror}")
            return None
        if self._recorder.fenced.is_set():  # nothing will ever point at it
            if manifest is not None:
                delete_generation(self._artifacts, manifest)
            return None
        self._recorder.warn(None)
        return Pointer(kind, kept.state, manifest)

    def _on_disk(self, kept: Kept) -> Manifest | None:
        """Its files' generation: as it was written before, if it is the last one again."""
        if self._written is None or self._written[0] is not kept:
            files = None if kept.files is None else kept.files()
            manifest = self._write_generation(self._artifacts, self._operation_id, files) if files else None
            self._written = (kept, manifest)
        return self._written[1]
