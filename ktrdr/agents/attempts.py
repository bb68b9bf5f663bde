"""One attempt of what this backend runs itself: step by step, outliving outages, to its one ending."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ktrdr.agents.workbench import Interrupted, Interruption, Workbench
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.errors import DatabaseUnavailable, KtrdrError, StepFailed
from ktrdr.domain.operations import CANCELLED, Event, Status
from ktrdr.persistence.unit_of_work import Transaction

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0

Step = Callable[[Workbench], Awaitable[bool]]
Save = Callable[[Transaction, CheckpointType], Awaitable[None]]


@dataclass(frozen=True)
class Ending:
    """How an attempt ends; without an event its row stays RUNNING for the next start to find."""

    kind: CheckpointType
    event: Event | None = None
    code: str | None = None
    message: str | None = None


# Does what has to be done before an ending is written (children are stopped), and says how the last
# checkpoint is saved; None when there is nothing to carry over, or something that must not be written over.
Prepare = Callable[[Workbench, Ending], Awaitable[Save | None]]


async def run_attempt(bench: Workbench, advance: Step, prepare: Prepare) -> None:
    """Advance until it answers False, fails, is cancelled, or the backend stops."""
    try:
        while await outliving_outages(bench, advance):
            pass
    except Interrupted as interruption:
        await _stopped(bench, interruption.why, prepare)
    except Exception as error:  # the outermost edge of an attempt: whatever it is, it is kept
        log.exception("%s failed", bench.operation.operation_id)
        await _failed(bench, error, prepare)


async def outliving_outages(bench: Workbench, step: Step) -> bool:
    """The step's answer; a database outage is waited out and the step done anew.

    Raises Interrupted when the backend stops meanwhile: the row says RUNNING, and the next start
    tells the truth.
    """
    while True:
        try:
            return await step(bench)
        except DatabaseUnavailable as outage:
            log.warning("%s waits for the database: %s", bench.operation.operation_id, outage.message)
            if bench.stop.is_set():
                raise Interrupted(Interruption.SHUTDOWN) from outage
            await bench.pause(RETRY_SECONDS)


async def _stopped(bench: Workbench, why: Interruption, prepare: Prepare) -> None:
    if why is Interruption.FENCED:
        log.warning("%s is owned by another attempt", bench.operation.operation_id)
        return
    if why is Interruption.SHUTDOWN:
        await _end(bench, Ending(CheckpointType.SHUTDOWN), prepare)
        return
    await _end(bench, Ending(CheckpointType.CANCELLATION, Event.CANCEL, None, CANCELLED), prepare)


async def _failed(bench: Workbench, error: Exception, prepare: Prepare) -> None:
    code = error.step_code if isinstance(error, StepFailed) else getattr(error, "code", "INTERNAL_ERROR")
    message = error.message if isinstance(error, KtrdrError) else f"{type(error).__name__}: {error}"
    await _end(bench, Ending(CheckpointType.FAILURE, Event.FAIL, code, message), prepare)


async def _end(bench: Workbench, ending: Ending, prepare: Prepare) -> None:
    """Write the last checkpoint and, in the same transaction, how the attempt ended."""

    async def write(bench: Workbench) -> bool:
        save = await prepare(bench, ending)
        operation_id, attempt = bench.operation.operation_id, bench.operation.attempt
        async with bench.database.transaction() as tx:
            mine = await tx.operations.find(operation_id)
            if mine is None or mine.attempt != attempt or mine.status is not Status.RUNNING:
                return False
            if save is not None:
                await save(tx, ending.kind)
            if ending.event is not None:
                await tx.operations.finish(
                    operation_id, attempt, ending.event, error_code=ending.code, error_message=ending.message
                )
        return True

    try:
        await outliving_outages(bench, write)
    except Interrupted:
        log.warning("%s: the database was away until the backend stopped", bench.operation.operation_id)
