"""The session loop: run the phase, commit what it found, go to the next.

The whole of a session's durability is here: `Workbench.commit` writes phase, results, children and
checkpoint in one transaction, and a resumed session starts from `restore(checkpoint)`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from ktrdr.agents.checkpoint_builder import restore
from ktrdr.agents.phases import assessing, backtesting, designing, training
from ktrdr.agents.workbench import Interrupted, Interruption, Step, Workbench
from ktrdr.checkpointing.integrity import verify
from ktrdr.checkpointing.schemas import AgentCheckpointState, CheckpointType
from ktrdr.domain.errors import CheckpointNotFound, DatabaseUnavailable, KtrdrError, StepFailed
from ktrdr.domain.operations import Event, Status
from ktrdr.domain.sessions import NEXT_PHASES, AgentSession, Phase

log = logging.getLogger(__name__)

PhaseFunction = Callable[[AgentSession, Workbench], Awaitable[Step]]
PHASES: Mapping[Phase, PhaseFunction] = {
    Phase.DESIGNING: designing.run,
    Phase.TRAINING: training.run,
    Phase.BACKTESTING: backtesting.run,
    Phase.ASSESSING: assessing.run,
}
RETRY_SECONDS = 1.0


async def run_session(bench: Workbench) -> None:
    """Run one claimed attempt until it completes, fails, is cancelled, or the backend stops."""
    session = await _load(bench)
    try:
        while session.phase is not Phase.COMPLETED:
            step = await PHASES[session.phase](session, bench)
            if step.session.phase not in NEXT_PHASES[session.phase]:
                raise AssertionError(f"{session.phase} may not lead to {step.session.phase}")
            await _persist(bench, step)
            session = step.session
    except Interrupted as interruption:
        # The row is newer than `session` when a phase has committed on its way (the holdout's opening).
        await _stopped(bench, interruption.why)
    except Exception as error:  # the outermost edge of a session: whatever it is, it is kept
        log.exception("session %s failed in %s", session.session_id, session.phase)
        await _failed(bench, error)


async def _load(bench: Workbench) -> AgentSession:
    """The session as its checkpoint has it."""
    async with bench.database.read() as tx:
        stored = await tx.checkpoints.get(bench.operation.operation_id)
    if stored is None:
        raise CheckpointNotFound(bench.operation.operation_id)
    verify(stored)
    return restore(AgentCheckpointState.from_json(stored.state))


async def _persist(bench: Workbench, step: Step) -> None:
    """Commit a step; a database outage is waited out, since the step itself is done."""
    while True:
        try:
            if step.session.phase is Phase.COMPLETED:
                await _complete(bench, step.session)
            else:
                await bench.commit(step)
            return
        except DatabaseUnavailable:
            if bench.stop.is_set():
                raise Interrupted(Interruption.SHUTDOWN) from None
            await bench.pause(RETRY_SECONDS)


async def _complete(bench: Workbench, session: AgentSession) -> None:
    result = {
        "verdict": (session.assessment or {}).get("verdict"),
        "fingerprint": session.result_fingerprint,
        "session_id": session.session_id,
    }
    async with bench.database.transaction() as tx:
        done = await tx.operations.finish(
            session.operation_id, bench.operation.attempt, Event.COMPLETE, result=result
        )
        if not done:
            raise Interrupted(Interruption.FENCED)
        await tx.sessions.update(session)
        await tx.ledger.record(session)
        await tx.checkpoints.delete(session.operation_id)


async def _stopped(bench: Workbench, why: Interruption) -> None:
    if why is Interruption.FENCED:
        log.warning("operation %s is owned by another attempt", bench.operation.operation_id)
        return
    if why is Interruption.SHUTDOWN:
        await _save(bench, CheckpointType.SHUTDOWN, None, None, None)
        return
    session = await _load(bench)
    for child_id in (
        session.training_operation_id,
        session.backtest_operation_id,
        session.holdout_operation_id,
    ):
        if child_id is not None:
            await bench.stop_child(child_id)
    await _save(bench, CheckpointType.CANCELLATION, Event.CANCEL, None, "Cancelled - checkpoint saved")


async def _failed(bench: Workbench, error: Exception) -> None:
    code = error.step_code if isinstance(error, StepFailed) else getattr(error, "code", "INTERNAL_ERROR")
    message = error.message if isinstance(error, KtrdrError) else f"{type(error).__name__}: {error}"
    await _save(bench, CheckpointType.FAILURE, Event.FAIL, code, message)


async def _save(
    bench: Workbench, kind: CheckpointType, event: Event | None, code: str | None, message: str | None
) -> None:
    """Write a last checkpoint and, with it, how the attempt ended. Without an event the row stays RUNNING."""
    session = await _load(bench)
    operation_id, attempt = session.operation_id, bench.operation.attempt
    while True:
        try:
            async with bench.database.transaction() as tx:
                mine = await tx.operations.find(operation_id)
                if mine is None or mine.attempt != attempt or mine.status is not Status.RUNNING:
                    return
                await bench.save_checkpoint(tx, session, kind)
                if event is not None:
                    await tx.operations.finish(
                        operation_id, attempt, event, error_code=code, error_message=message
                    )
            return
        except DatabaseUnavailable:
            if bench.stop.is_set():
                return  # the row says RUNNING: the next start finds it and tells the truth
            await asyncio.sleep(RETRY_SECONDS)
