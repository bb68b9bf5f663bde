"""A worker's thread to the database: claim, heartbeat, checkpoint pointer, end.

The computing thread never waits for the database. It leaves progress and the latest generation of
files here; this thread writes them when it can. A database outage therefore costs a running
operation nothing, and an answer of "no row" (fenced) stops it before it writes anything more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ktrdr.checkpointing.artifacts import delete_all, delete_older, generations
from ktrdr.checkpointing.schemas import CheckpointType, Manifest, StoredCheckpoint
from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.operations import TRANSITIONS, WORKER_LEASE_SECONDS, Event, Operation, Progress, Status
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
RECORD_SECONDS = 1.0  # a checkpoint's row is some 6 ms of Python, which short epochs would feel
CLAIM_SECONDS = 60.0  # how long a starting worker waits for the database, unless it is told to end
OUTAGE_SECONDS = 600.0  # how long a finished worker waits for a database to tell it to
T = TypeVar("T")


@dataclass(frozen=True)
class Pointer:
    """A written generation that the database does not know of yet."""

    kind: CheckpointType
    state: Mapping[str, Any]
    artifacts: Manifest | None


@dataclass(frozen=True)
class Claimed:
    """The operation, and the checkpoint it goes on from once it is verified."""

    operation: Operation
    checkpoint: StoredCheckpoint | None


class Recorder:
    """Owns the event loop of one worker's database thread."""

    def __init__(
        self,
        connect: Callable[[], Database],
        artifacts: Path,
        told_to_end: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connect = connect
        self._artifacts = artifacts
        self._told_to_end = told_to_end
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._lock = threading.Lock()
        self._progress = Progress()
        self._warning: str | None = None
        self._pointer: Pointer | None = None
        self._older: frozenset[str] = frozenset()  # generations of no more use once the next is recorded
        self._fingerprint: Fingerprint | None = None
        self._operation: Operation | None = None
        self._beat: asyncio.Task[None] | None = None
        self._due: asyncio.Event | None = None
        self._ending = False
        self._tried_at = -math.inf
        self._on_ready: Callable[[], None] = lambda: None
        self.cancel_requested = threading.Event()
        self.fenced = threading.Event()

    # Called from the computing thread.

    def start(self) -> None:
        self._thread.start()
        self._database = self._call(self._open())

    def claim(self, operation_id: str, owner: str, executor_ref: str) -> Claimed | None:
        """Enter RUNNING through the one door, or None when somebody else did."""
        claimed = self._call(self._claim(operation_id, owner, executor_ref))
        if claimed is not None:
            self._operation = claimed.operation
            self._progress = claimed.operation.progress  # shown until this attempt has its own
        return claimed

    def begin(self, fingerprint: Fingerprint, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start the heartbeat. `on_ready` is called in its thread after each beat that finds it ready."""
        self._fingerprint = fingerprint
        self._on_ready = on_ready
        self._loop.call_soon_threadsafe(self._start_beat)

    def report(self, progress: Progress) -> None:
        self._progress = progress

    def warn(self, warning: str | None) -> None:
        """Show a warning with the progress until the next checkpoint succeeds, which is not tried at once."""
        self._warning = warning
        if warning is not None:
            self._tried_at = time.monotonic()

    def ready(self) -> bool:
        """True when the last generation offered is recorded, and not just now: the time to write the next."""
        with self._lock:
            return self._pointer is None and time.monotonic() - self._tried_at >= RECORD_SECONDS

    def offer(self, pointer: Pointer) -> None:
        """Hand over a generation; one that was not recorded yet is superseded."""
        with self._lock:
            self._pointer = pointer
        if self._due is not None:
            self._loop.call_soon_threadsafe(self._due.set)

    def finish(self, event: Event, last: Pointer | None = None, **outcome: Any) -> bool:
        """Write the end, and in the same transaction the last checkpoint: `last`, or what was offered.

        Waits out a database outage, bounded.
        """
        return self._call(self._finish(event, last, outcome))

    def close(self) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5.0)

    # On the recorder's own loop.

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self) -> Database:
        return self._connect()

    async def _shut(self) -> None:
        await self._end_beat()
        await self._database.close()

    async def _claim(self, operation_id: str, owner: str, executor_ref: str) -> Claimed | None:
        """Waits, bounded, for a database that can't be reached: a network may lag behind its hosts."""
        deadline = self._loop.time() + CLAIM_SECONDS
        in_doubt = False
        while True:
            try:
                return await self._claim_once(operation_id, owner, executor_ref, in_doubt)
            except DatabaseUnavailable as outage:
                if self._loop.time() > deadline or self._told_to_end():
                    raise
                in_doubt = True
                log.warning("the claim waits for the database: %s", outage.message)
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _claim_once(
        self, operation_id: str, owner: str, executor_ref: str, in_doubt: bool
    ) -> Claimed | None:
        """`in_doubt`: an earlier try may have been committed though its answer was lost. Then it is ours."""
        async with self._database.transaction() as tx:
            operation = await tx.operations.claim(operation_id, owner, executor_ref, WORKER_LEASE_SECONDS)
            if operation is None and in_doubt:
                found = await tx.operations.find(operation_id)
                if found and found.status is Status.RUNNING and found.executor_ref == executor_ref:
                    operation = found
            if operation is None:
                return None
            stored = await tx.checkpoints.get(operation_id)
        self._older = generations(self._artifacts, operation_id)
        return Claimed(operation, stored)

    def _start_beat(self) -> None:
        self._due = asyncio.Event()
        self._beat = self._loop.create_task(self._heartbeat(), name="heartbeat")

    async def _end_beat(self) -> None:
        """End the heartbeat between two beats.

        By a flag, not by cancel: `wait_for` in Python 3.11 returns normally when it is cancelled at
        the moment its event is set, and a run ends right behind its last checkpoint.
        """
        if self._beat is None or self._due is None:
            return
        self._ending = True
        self._due.set()
        (failure,) = await asyncio.gather(self._beat, return_exceptions=True)
        if failure is not None:  # the end is still ours to write, if the lease has held
            log.error("the heartbeat had failed", exc_info=failure)
        self._beat = None

    async def _heartbeat(self) -> None:
        assert self._due is not None
        while not self.fenced.is_set() and not self._ending:
            try:
                await self._beat_once()
            except DatabaseUnavailable as outage:
                log.warning("the run goes on without the database: %s", outage.message)
                await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await asyncio.wait_for(self._due.wait(), HEARTBEAT_SECONDS)
                self._due.clear()
            except TimeoutError:
                continue

    async def _beat_once(self) -> None:
        operation = self._claimed()
        with self._lock:
            pointer = self._pointer
        async with self._database.transaction() as tx:
            beat = await tx.operations.heartbeat(
                operation.operation_id, operation.attempt, self._shown(), WORKER_LEASE_SECONDS
            )
            if beat is None:
                self.fenced.set()
                return
            if pointer is not None:
                await self._save(tx, pointer)
        if beat.cancel_requested:
            self.cancel_requested.set()
        if pointer is not None:
            self._recorded(pointer)
        if self.ready():
            self._on_ready()

    async def _save(self, tx: Any, pointer: Pointer) -> None:
        operation = self._claimed()
        assert self._fingerprint is not None
        await tx.checkpoints.save(
            operation.operation_id,
            operation.attempt,
            pointer.kind,
            pointer.state,
            pointer.artifacts,
            self._fingerprint,
        )

    def _recorded(self, pointer: Pointer) -> None:
        with self._lock:
            self._tried_at = time.monotonic()
            if self._pointer is pointer:
                self._pointer = None
        if pointer.artifacts is not None:
            delete_older(self._artifacts, self._claimed().operation_id, self._older, pointer.artifacts)
            self._older = frozenset({pointer.artifacts.path.rpartition("/")[2]})

    async def _finish(self, event: Event, last: Pointer | None, outcome: Mapping[str, Any]) -> bool:
        await self._end_beat()
        if last is not None:
            with self._lock:
                self._pointer = last
        deadline = self._loop.time() + OUTAGE_SECONDS
        in_doubt = False
        while True:
            try:
                return await self._finish_once(event, outcome, in_doubt)
            except DatabaseUnavailable:
                if self._loop.time() > deadline:
                    raise
                in_doubt = True
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _finish_once(self, event: Event, outcome: Mapping[str, Any], in_doubt: bool) -> bool:
        """`in_doubt`: as for a claim."""
        operation = self._claimed()
        with self._lock:
            pointer = self._pointer
        async with self._database.transaction() as tx:
            if pointer is not None and event is not Event.COMPLETE:
                await self._save(tx, pointer)
            await tx.operations.advance(operation.operation_id, operation.attempt, self._shown())
            done = await tx.operations.finish(operation.operation_id, operation.attempt, event, **outcome)
            if not done and in_doubt:
                found = await tx.operations.get(operation.operation_id)
                done = (found.attempt, found.status) == (operation.attempt, TRANSITIONS[event].target)
            if done and event is Event.COMPLETE:
                await tx.checkpoints.delete(operation.operation_id)
        if done and event is Event.COMPLETE:
            delete_all(self._artifacts, operation.operation_id)
        elif done and pointer is not None:
            self._recorded(pointer)
        return done

    def _shown(self) -> Progress:
        progress = self._progress
        if self._warning is None:
            return progress
        return replace(progress, detail={**progress.detail, "warning": self._warning})

    def _claimed(self) -> Operation:
        assert self._operation is not None, "claim first"
        return self._operation
