"""Run one operation: claim it, compute, keep checkpoints, write its end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ktrdr.checkpointing.schemas import CheckpointType, StoredCheckpoint
from ktrdr.checkpointing.verification import verified
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of, settings_of
from ktrdr.domain.errors import KtrdrError, StepFailed
from ktrdr.domain.operations import CANCELLED, GRACEFUL_SHUTDOWN, Event, Operation, Progress
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.recorder import Recorder
from ktrdr.workers.writer import CheckpointWriter, Files, Kept

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

    def keep(self, state: Mapping[str, Any], files: Files | None = None, *, due: bool) -> None:
        """Hand over a state to go on from, and `files`, which makes its files in another thread.

        It is written when it is due, and when the attempt ends early it is the last one to be written,
        whatever ends it. So a job keeps the state after every step, then asks `should_stop`.
        """


Job = Callable[[Run], Mapping[str, Any] | None]  # None: stopped where should_stop said so


@dataclass(frozen=True)
class _Run:
    operation: Operation
    checkpoint: StoredCheckpoint | None
    artifacts: Path
    catalog: Catalog
    recorder: Recorder
    writer: CheckpointWriter
    terminated: threading.Event

    def report(self, progress: Progress) -> None:
        self.recorder.report(progress)

    def should_stop(self) -> bool:
        return (
            self.terminated.is_set()
            or self.recorder.cancel_requested.is_set()
            or self.recorder.fenced.is_set()
        )

    def keep(self, state: Mapping[str, Any], files: Files | None = None, *, due: bool) -> None:
        self.writer.keep(Kept(state, files), due=due)


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
        writer = CheckpointWriter(recorder, artifacts, operation_id)
        run = _Run(claimed.operation, claimed.checkpoint, artifacts, catalog, recorder, writer, terminated)
        kept = "no checkpoint" if claimed.checkpoint is None else f"checkpoint {claimed.checkpoint.sequence}"
        log.info("%s: attempt %d begins as %s, %s", operation_id, run.operation.attempt, executor_ref, kept)
        try:
            status = _execute(run, job_of)
        finally:
            writer.close()
        log.info("%s: attempt %d ends with status %d", operation_id, run.operation.attempt, status)
        return status
    finally:
        recorder.close()


def _execute(run: _Run, job_of: Callable[[Operation], Job]) -> int:
    request = run.operation.request
    try:
        dataset, strategy = str(request["dataset"]), request["strategy_config"]
        fingerprint = fingerprint_of(run.catalog, dataset, strategy, settings_of(request))
        run.recorder.begin(fingerprint, run.writer.wake)
        if run.checkpoint is not None:
            run = replace(run, checkpoint=verified(run.checkpoint, run.artifacts))
        result = job_of(run.operation)(run)
    except Exception as error:  # the outermost edge of a worker: whatever it is, the row says it
        log.exception("%s failed", run.operation.operation_id)
        code, message = _explained(error)
        details = {"exit_status": 1, "log": traceback.format_exc()[-LOG_TAIL_CHARACTERS:]}
        last = run.writer.flush(CheckpointType.FAILURE)
        run.recorder.finish(Event.FAIL, last, error_code=code, error_message=message, error_details=details)
        return 1
    if run.recorder.fenced.is_set():
        log.warning("%s is owned by another attempt; nothing written", run.operation.operation_id)
        return 3
    if result is None:
        _leave(run)
        return 0
    run.writer.close()  # a generation that is still in the writing would outlive those that COMPLETED deletes
    return 0 if run.recorder.finish(Event.COMPLETE, result=result) else 3


def _leave(run: _Run) -> None:
    """Save what there is and end as CANCELLED."""
    kind, message = CheckpointType.SHUTDOWN, GRACEFUL_SHUTDOWN
    if run.recorder.cancel_requested.is_set():  # it counts also when a signal followed it
        kind, message = CheckpointType.CANCELLATION, CANCELLED
    last = run.writer.flush(kind)
    if last is None:
        message = message.replace("checkpoint saved", "its last checkpoint could not be written")
    run.recorder.finish(Event.CANCEL, last, error_message=message)


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
