"""The session loop: run the phase, commit what it found, go to the next.

The whole of a session's durability is here: `Workbench.commit` writes phase, results, children and
checkpoint in one transaction, and every phase, of a new session or a resumed one, starts from
`restore(checkpoint)`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ktrdr.agents.checkpoint_builder import restore
from ktrdr.agents.phases import assessing, backtesting, designing, training
from ktrdr.agents.workbench import Interrupted, Interruption, Step, Workbench
from ktrdr.checkpointing.schemas import AgentCheckpointState, CheckpointType
from ktrdr.checkpointing.verification import verified_row
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    CheckpointIncompatible,
    CheckpointNotFound,
    DatabaseUnavailable,
    KtrdrError,
    StepFailed,
)
from ktrdr.domain.memory import lesson_of, status_after
from ktrdr.domain.operations import CANCELLED, Event, Status
from ktrdr.domain.sessions import NEXT_PHASES, AgentSession, Phase
from ktrdr.persistence.unit_of_work import Transaction

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
    try:
        while await _outliving_outages(bench, _advance):
            pass
    except Interrupted as interruption:
        await _stopped(bench, interruption.why)
    except Exception as error:  # the outermost edge of a session: whatever it is, it is kept
        log.exception("%s failed", bench.operation.operation_id)
        await _failed(bench, error)


async def _advance(bench: Workbench) -> bool:
    """One phase, from its checkpoint to its commit; False once the session is complete.

    Starting each phase from what is stored makes an outage and a crash the same case: a commit whose
    answer was lost has happened or has not, and the checkpoint says which.
    """
    await bench.check()
    session = await _load(bench)
    step = await PHASES[session.phase](session, bench)
    if step.session.phase not in NEXT_PHASES[session.phase]:
        raise AssertionError(f"{session.phase} may not lead to {step.session.phase}")
    if step.session.phase is Phase.COMPLETED:
        await _complete(bench, step.session)
        return False
    await bench.commit(step)
    return True


async def _outliving_outages(bench: Workbench, step: Callable[[Workbench], Awaitable[bool]]) -> bool:
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


async def _load(bench: Workbench) -> AgentSession:
    """The session as its checkpoint has it."""
    async with bench.database.read() as tx:
        stored = await tx.checkpoints.get(bench.operation.operation_id)
    if stored is None:
        raise CheckpointNotFound(bench.operation.operation_id)
    return restore(AgentCheckpointState.from_json(verified_row(stored).state))


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
        await _remember(tx, session)
        await tx.checkpoints.delete(session.operation_id)


async def _remember(tx: Transaction, session: AgentSession) -> None:
    """The experiment, what was learnt from it, and what its assessor would test next."""
    assessment = session.assessment or {}
    training = (session.training_result or {}).get("metrics", {})
    validation = (session.backtest_result or {}).get("metrics", {})
    lesson = assessment.get("lesson") or lesson_of(session.gates, training, validation)
    await tx.ledger.record(session, lesson)
    await tx.hypotheses.record(session.operation_id, assessment.get("hypotheses", []))
    if session.tests_hypothesis is not None:
        await tx.hypotheses.settle(session.tests_hypothesis, status_after(session.gates))


async def _stopped(bench: Workbench, why: Interruption) -> None:
    if why is Interruption.FENCED:
        log.warning("%s is owned by another attempt", bench.operation.operation_id)
        return
    if why is Interruption.SHUTDOWN:
        await _end(bench, _Ending(CheckpointType.SHUTDOWN))
        return
    cancelled = _Ending(CheckpointType.CANCELLATION, Event.CANCEL, None, CANCELLED)
    await _end(bench, cancelled)


async def _failed(bench: Workbench, error: Exception) -> None:
    code = error.step_code if isinstance(error, StepFailed) else getattr(error, "code", "INTERNAL_ERROR")
    message = error.message if isinstance(error, KtrdrError) else f"{type(error).__name__}: {error}"
    await _end(bench, _Ending(CheckpointType.FAILURE, Event.FAIL, code, message))


@dataclass(frozen=True)
class _Ending:
    """How an attempt ends; without an event its row stays RUNNING for the next start to find."""

    kind: CheckpointType
    event: Event | None = None
    code: str | None = None
    message: str | None = None


async def _end(bench: Workbench, ending: _Ending) -> None:
    """Write the last checkpoint and, in the same transaction, how the attempt ended."""

    async def write(bench: Workbench) -> bool:
        session = await _load_if_intact(bench)
        if session is not None and ending.event is Event.CANCEL:
            await _stop_children(session, bench)
        operation_id, attempt = bench.operation.operation_id, bench.operation.attempt
        async with bench.database.transaction() as tx:
            mine = await tx.operations.find(operation_id)
            if mine is None or mine.attempt != attempt or mine.status is not Status.RUNNING:
                return False
            if session is not None:
                await bench.save_checkpoint(tx, session, ending.kind)
            if ending.event is not None:
                await tx.operations.finish(
                    operation_id, attempt, ending.event, error_code=ending.code, error_message=ending.message
                )
        return True

    try:
        await _outliving_outages(bench, write)
    except Interrupted:
        log.warning("%s: the database was away until the backend stopped", bench.operation.operation_id)


async def _load_if_intact(bench: Workbench) -> AgentSession | None:
    """None when there is no checkpoint to carry over, or one that must not be written over."""
    try:
        return await _load(bench)
    except (CheckpointNotFound, CheckpointCorrupted, CheckpointIncompatible):
        return None


async def _stop_children(session: AgentSession, bench: Workbench) -> None:
    for child_id in session.own_children:
        await bench.stop_child(child_id)
