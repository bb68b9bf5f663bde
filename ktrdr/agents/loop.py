"""The session loop: run the phase, commit what it found, go to the next.

The whole of a session's durability is here: `Workbench.commit` writes phase, results, children and
checkpoint in one transaction, and every phase, of a new session or a resumed one, starts from
`restore(checkpoint)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ktrdr.agents.attempts import Ending, Save, run_attempt
from ktrdr.agents.checkpoint_builder import restore
from ktrdr.agents.phases import assessing, backtesting, designing, training
from ktrdr.agents.workbench import Interrupted, Interruption, Step, Workbench
from ktrdr.checkpointing.schemas import AgentCheckpointState
from ktrdr.checkpointing.verification import verified_row
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    CheckpointIncompatible,
    CheckpointNotFound,
)
from ktrdr.domain.memory import lesson_of, status_after
from ktrdr.domain.operations import Event
from ktrdr.domain.sessions import NEXT_PHASES, AgentSession, Phase
from ktrdr.persistence.unit_of_work import Transaction

PhaseFunction = Callable[[AgentSession, Workbench], Awaitable[Step]]
PHASES: Mapping[Phase, PhaseFunction] = {
    Phase.DESIGNING: designing.run,
    Phase.TRAINING: training.run,
    Phase.BACKTESTING: backtesting.run,
    Phase.ASSESSING: assessing.run,
}


async def run_session(bench: Workbench) -> None:
    """Run one claimed attempt until it completes, fails, is cancelled, or the backend stops."""
    await run_attempt(bench, _advance, _prepared)


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


async def _prepared(bench: Workbench, ending: Ending) -> Save | None:
    """A cancelled session's children are stopped first."""
    session = await _load_if_intact(bench)
    if session is None:
        return None
    if ending.event is Event.CANCEL:
        await _stop_children(session, bench)
    return lambda tx, kind: bench.save_checkpoint(tx, session, kind)


async def _load_if_intact(bench: Workbench) -> AgentSession | None:
    """None when there is no checkpoint to carry over, or one that must not be written over."""
    try:
        return await _load(bench)
    except (CheckpointNotFound, CheckpointCorrupted, CheckpointIncompatible):
        return None


async def _stop_children(session: AgentSession, bench: Workbench) -> None:
    for child_id in session.own_children:
        await bench.stop_child(child_id)
