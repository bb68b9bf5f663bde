"""Run one operation: claim it, compute, keep checkpoints, write its end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.schemas import CheckpointType, Manifest, StoredCheckpoint
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import KtrdrError, StepFailed
from ktrdr.domain.operations import CANCELLED, GRACEFUL_SHUTDOWN, Event, Operation, Progress
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.recorder import Pointer, Recorder, verified

log = logging.getLogger(__name__)
LOG_TAIL_CHARACTERS = 2000


class Run(Protocol):
    """What a job sees of the operation it is."""

    @property
    def operation(self) -> Operation: ...
    @property
    def checkpoint(self) -> StoredCheckpoint | None: ...
    @property
    def artifacts(self) -> Path: ...
    @property
    def catalog(self) -> Catalog: ...
    def report(self, progress: Progress) -> None: ...
    def should_stop(self) -> bool: ...
    def checkpoint_due(self) -> bool: ...
    def save(self, files: Mapping[str, bytes], state: Mapping[str, Any]) -> None: ...


Job = Callable[[Run], Mapping[str, Any] | None]  # None: stopped where should_stop said so


@dataclass(frozen=True)
class _Run:
    operation: Operation
    checkpoint: StoredCheckpoint | None
    artifacts: Path
    catalog: Catalog
    recorder: Recorder
    terminated: threading.Event

    def report(self, progress: Progress) -> None:
        self.recorder.report(progress)

    def should_stop(self) -> bool:
        return (
            self.terminated.is_set()
            or self.recorder.cancel_requested.is_set()
            or self.recorder.fenced.is_set()
        )

    def checkpoint_due(self) -> bool:
        return self.recorder.idle() or self.should_stop()

    def save(self, files: Mapping[str, bytes], state: Mapping[str, Any]) -> None:
        if self.recorder.fenced.is_set():
            return
        try:
            manifest = self._write(files)
        except OSError as error:  # a full disk must not end the run; the previous checkpoint stays good
            log.warning("the checkpoint was not written: %s", error)
            self.recorder.warn(f"checkpoint not written: {error.strerror}")
            return
        self.recorder.warn(None)
        self.recorder.offer(Pointer(self._kind(), state, manifest))

    def _write(self, files: Mapping[str, bytes]) -> Manifest | None:
        return write_generation(self.artifacts, self.operation.operation_id, files) if files else None

    def _kind(self) -> CheckpointType:
        if self.recorder.cancel_requested.is_set():  # first: a cancel may be followed by a signal
            return CheckpointType.CANCELLATION
        if self.terminated.is_set():
            return CheckpointType.SHUTDOWN
        return CheckpointType.PERIODIC


def run_operation(
    operation_id: str,
    *,
    connect: Callable[[], Database],
    artifacts: Path,
    catalog: Catalog,
    executor_ref: str,
    job_of: Callable[[Operation], Job],
) -> int:
    """Run to an end of any kind. Returns the exit status: 0 done or stopped, 1 failed, 3 not ours."""
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    signal.signal(signal.SIGINT, lambda *_: terminated.set())
    recorder = Recorder(connect, artifacts, terminated.is_set)
    recorder.start()
    try:
        claimed = recorder.claim(operation_id, socket.gethostname(), executor_ref)
        if claimed is None:
            log.warning("%s is not PENDING in this database: another has it, or it has ended", operation_id)
            return 3
        run = _Run(claimed.operation, claimed.checkpoint, artifacts, catalog, recorder, terminated)
        kept = "no checkpoint" if claimed.checkpoint is None else f"checkpoint {claimed.checkpoint.sequence}"
        log.info("%s: attempt %d begins as %s, %s", operation_id, run.operation.attempt, executor_ref, kept)
        status = _execute(run, job_of)
        log.info("%s: attempt %d ends with status %d", operation_id, run.operation.attempt, status)
        return status
    finally:
        recorder.close()


def _execute(run: _Run, job_of: Callable[[Operation], Job]) -> int:
    request = run.operation.request
    try:
        run.recorder.begin(
            fingerprint_of(run.catalog, str(request["dataset"]), request["strategy_config"], {})
        )
        if run.checkpoint is not None:
            verified(run.checkpoint, run.artifacts)
        result = job_of(run.operation)(run)
    except Exception as error:  # the outermost edge of a worker: whatever it is, the row says it
        log.exception("%s failed", run.operation.operation_id)
        code, message = _explained(error)
        details = {"exit_status": 1, "log": traceback.format_exc()[-LOG_TAIL_CHARACTERS:]}
        run.recorder.finish(Event.FAIL, error_code=code, error_message=message, error_details=details)
        return 1
    if run.recorder.fenced.is_set():
        log.warning("%s is owned by another attempt; nothing written", run.operation.operation_id)
        return 3
    if result is None:
        message = CANCELLED if run.recorder.cancel_requested.is_set() else GRACEFUL_SHUTDOWN
        run.recorder.finish(Event.CANCEL, error_message=message)
        return 0
    return 0 if run.recorder.finish(Event.COMPLETE, result=result) else 3


def _explained(error: Exception) -> tuple[str, str]:
    """(code, sentence) of what ended a run."""
    if isinstance(error, StepFailed):
        return error.step_code, error.message
    if isinstance(error, KtrdrError):
        return error.code, error.message
    if isinstance(error, MemoryError):
        return "OUT_OF_MEMORY", "The worker ran out of memory. Give it more, or make the strategy smaller."
    if isinstance(error, OSError):
        return "STORAGE_FAILED", f"{error}. Free or repair the disk, then resume."
    return "WORKER_FAILED", f"{type(error).__name__}: {error}"
