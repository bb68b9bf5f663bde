"""What a fork is: another session's finished phases, and the phase it begins with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ktrdr.agents.forked_settings import Settings, changed, settings_of
from ktrdr.agents.phases.training import backtest_of, training_of
from ktrdr.domain.errors import GateNotPassed, PhaseNotFinished
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import NewOperation, Operation, backtest_id
from ktrdr.domain.sessions import (
    AgentSession,
    GateResult,
    GateThresholds,
    Phase,
    TriggerReason,
    backtest_gate,
    training_gate,
)

FORKABLE = (Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)
NO_SESSION_YET = 0


@dataclass(frozen=True)
class Origin:
    """The session that is forked, with its operation, as the database has them."""

    session: AgentSession
    operation: Operation


@dataclass(frozen=True)
class ForkPlan:
    """A fork before it has a number: the session at its first phase, that phase's child, and what differs
    from the origin (`changes`, each with `from` and `to`)."""

    session: AgentSession
    request: Mapping[str, Any]
    children: tuple[NewOperation, ...]
    changes: Mapping[str, Mapping[str, Any]]


def plan_fork(
    origin: Origin, phase: Phase, wanted: Mapping[str, Any], thresholds: GateThresholds, operation_id: str
) -> ForkPlan:
    """The fork of a session that begins with `phase`, with the settings `wanted` by their dotted names.

    Raises PhaseNotFinished, GateNotPassed, and InvalidInput for settings that are not known, not valid,
    or were read by a phase that is not run again.
    """
    _require_finished(origin, phase)
    settings, changes = changed(settings_of(origin.session), wanted, phase)
    gates = _passed_gates(origin.session, phase, thresholds)
    begun = _begun(origin.session, phase, settings, gates, operation_id)
    session, children = _with_child(begun)
    return ForkPlan(
        session=session,
        request=_request(origin, session),
        children=children,
        changes={**changes, **_gates_that_changed(origin.session, gates)},
    )


def forkable_from(session: AgentSession) -> tuple[Phase, ...]:
    """The phases that a fork of this session can begin with: all that is before them is finished."""
    there = {
        Phase.DESIGNING: True,
        Phase.TRAINING: session.strategy_config is not None,
        Phase.BACKTESTING: session.training_result is not None,
        Phase.ASSESSING: session.training_result is not None and session.backtest_result is not None,
    }
    return tuple(phase for phase in FORKABLE if there[phase])


def _require_finished(origin: Origin, phase: Phase) -> None:
    session, status = origin.session, origin.operation.status
    possible = forkable_from(session)
    if phase in possible:
        return
    before = FORKABLE[FORKABLE.index(phase) - 1]
    number = session.session_id
    raise PhaseNotFinished(
        f"Session {number} can't be forked from {phase}: it has no result of {before} (it is {status}, its "
        f"phase {session.phase}). Let it go on (ktrdr research resume {number} when it stopped), or fork it "
        f"from {' or '.join(possible)}.",
        {"phase": session.phase.value, "status": status.value, "forkable_from": [*possible]},
    )


def _passed_gates(
    session: AgentSession, phase: Phase, thresholds: GateThresholds
) -> tuple[Mapping[str, Any], ...]:
    """The gates of the phases that are reused, asked anew: the fork is judged by the present thresholds in
    all its phases, as a session that begins now is. Raises GateNotPassed."""
    gates = []
    for gate in _gates(session, phase, thresholds):
        if not gate.passed:
            again = Phase.TRAINING if gate.gate == "training" else Phase.BACKTESTING
            raise GateNotPassed(
                f"Session {session.session_id} can't be forked from {phase}: its {gate.gate} does not pass "
                f"the gate ({'; '.join(gate.reasons)}). Fork it from {again} with other settings, or set "
                "other gates (KTRDR_GATE_...) and start the backend again.",
                {"gate": gate.to_json(), "forkable_from": [*FORKABLE[: FORKABLE.index(again) + 1]]},
            )
        gates.append(gate.to_json())
    return tuple(gates)


def _gates(session: AgentSession, phase: Phase, thresholds: GateThresholds) -> Iterator[GateResult]:
    if phase in (Phase.BACKTESTING, Phase.ASSESSING):
        yield training_gate((session.training_result or {}).get("metrics", {}), thresholds)
    if phase is Phase.ASSESSING:
        yield backtest_gate((session.backtest_result or {}).get("metrics", {}), thresholds)


def _gates_that_changed(
    session: AgentSession, gates: tuple[Mapping[str, Any], ...]
) -> dict[str, dict[str, Any]]:
    """Gates that the origin had failed, under thresholds that were not the present ones."""
    before = {gate["gate"]: gate for gate in session.gates}
    return {
        f"gates.{gate['gate']}": {"from": f"failed: {'; '.join(was['reasons'])}", "to": "passed"}
        for gate in gates
        if (was := before.get(gate["gate"])) is not None and not was["passed"]
    }


def _begun(
    origin: AgentSession,
    phase: Phase,
    settings: Settings,
    gates: tuple[Mapping[str, Any], ...],
    operation_id: str,
) -> AgentSession:
    """The new session in its first phase. The children that are named are the origin's."""
    session = AgentSession(
        session_id=NO_SESSION_YET,
        operation_id=operation_id,
        trigger_reason=TriggerReason.MANUAL,
        seed=settings.seed,
        dataset=origin.dataset,
        phase=phase,
        brief=settings.brief,
        gates=gates,
    )
    if phase is Phase.DESIGNING:
        return session
    session = replace(session, strategy_config=settings.strategy, research_notes=origin.research_notes)
    if phase is Phase.TRAINING:
        return session
    session = replace(
        session,
        training_operation_id=origin.training_operation_id,
        training_result=origin.training_result,
    )
    if phase is Phase.BACKTESTING:
        return session
    return replace(
        session, backtest_operation_id=origin.backtest_operation_id, backtest_result=origin.backtest_result
    )


def _with_child(session: AgentSession) -> tuple[AgentSession, tuple[NewOperation, ...]]:
    """As the phase before would have left it: with its child named, and the child to record."""
    if session.phase is Phase.TRAINING:
        child = training_of(session)
        return replace(session, training_operation_id=child.operation_id), (child,)
    if session.phase is Phase.BACKTESTING:
        child = backtest_of(session, Segment.VALIDATION, backtest_id(session.operation_id))
        return replace(session, backtest_operation_id=child.operation_id), (child,)
    return session, ()


def _request(origin: Origin, session: AgentSession) -> dict[str, Any]:
    """The origin's, so that a design which is repeated is given the same: strategy and known trials."""
    return {
        **origin.operation.request,
        "trigger_reason": session.trigger_reason.value,
        "seed": session.seed,
        "dataset": session.dataset,
        "brief": session.brief,
        "forked_from": origin.session.session_id,
        "from_phase": session.phase.value,
    }
