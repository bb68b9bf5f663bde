"""What a resume takes over, what it does anew, and how far a checkpoint is. Pure: rows in, sentences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.domain.operations import Operation, OperationType, Status
from ktrdr.domain.resumes import Position
from ktrdr.domain.sessions import Phase

AWAITED: Mapping[str, str] = {
    Phase.TRAINING: "training_operation_id",
    Phase.BACKTESTING: "backtest_operation_id",
    Phase.ASSESSING: "holdout_operation_id",
}
WORK: Mapping[str, str] = {
    Phase.TRAINING: "training",
    Phase.BACKTESTING: "backtest",
    Phase.ASSESSING: "exam on the holdout",
}


class Action(StrEnum):
    """What a resumed session does about a child."""

    ATTACH = "attach"  # it runs or waits for its turn
    TAKE_RESULT = "take_result"
    RESUME = "resume"  # at its own checkpoint
    START = "start"  # it has no checkpoint yet


@dataclass(frozen=True)
class Worker:
    """A training or a backtest as it is: its row, and its checkpoint if it has one."""

    operation: Operation
    checkpoint: StoredCheckpoint | None


@dataclass(frozen=True)
class Reused:
    """A finished part, and what it came to in a word."""

    part: str
    what: str


@dataclass(frozen=True)
class ChildPlan:
    """What happens to the child that the session's phase waits for."""

    operation_id: str
    status: Status
    action: Action
    what: str


@dataclass(frozen=True)
class Plan:
    """What a resume would do."""

    reused: tuple[Reused, ...] = ()
    child: ChildPlan | None = None
    redone: tuple[str, ...] = ()


def awaited(state: Mapping[str, Any]) -> str | None:
    """The id of the child whose result a session's phase waits for."""
    phase = state.get("phase")
    found = state.get(AWAITED.get(phase, "")) if isinstance(phase, str) else None
    return found if isinstance(found, str) else None


def position(kind: OperationType, stored: StoredCheckpoint | None, child: Worker | None) -> Position:
    """How far a checkpoint is. Reads what it can of any state: it is asked of damaged ones too."""
    if stored is None:
        return Position()
    if kind is not OperationType.AGENT_RESEARCH:
        return Position(epoch=_number(stored.state, "epoch"), bar=_bars(stored.state))
    phase = stored.state.get("phase")
    shown = phase if isinstance(phase, str) else None
    if child is None:
        return Position(shown, awaited(stored.state))
    own = {} if child.checkpoint is None else child.checkpoint.state
    done = child.operation.status is Status.COMPLETED
    return Position(shown, child.operation.operation_id, done, _number(own, "epoch"), _bars(own))


def plan_of(operation: Operation, stored: StoredCheckpoint, child: Worker | None) -> Plan:
    """What a resume of a verified checkpoint would do."""
    if operation.operation_type is not OperationType.AGENT_RESEARCH:
        worker = Worker(operation, stored)
        return Plan(reused=_done_steps(worker), redone=_steps_again(worker))
    state = stored.state
    phase = Phase(state["phase"])
    if phase is Phase.DESIGNING:
        given = operation.request.get("strategy") is not None
        redone = (
            "taking over the strategy that was given" if given else "the design, since it was not committed"
        )
        return Plan(redone=(redone,))
    planned = None if child is None else _of_child(child, WORK[phase])
    again = () if child is None or planned is None else _again(child, planned.action, WORK[phase])
    verdict = ("the verdict, since it was not committed",) if phase is Phase.ASSESSING else ()
    return Plan(_finished(state), planned, (*again, *verdict))


def _finished(state: Mapping[str, Any]) -> tuple[Reused, ...]:
    """The finished phases of a session, in order."""
    strategy = state["strategy_config"] or {}
    found = [Reused("design", f"strategy '{strategy.get('name', '?')}'")]
    gates = {gate["gate"]: "passed" if gate["passed"] else "not passed" for gate in state["gates"]}
    if state["training_result"] is not None:
        accuracy = _figure(state["training_result"], "balanced_accuracy", ".1%")
        found.append(Reused("training", f"balanced accuracy {accuracy}, gate {gates.get('training', '-')}"))
    if state["backtest_result"] is not None:
        sharpe = _figure(state["backtest_result"], "sharpe", ".2f")
        trades = _figure(state["backtest_result"], "trades", ",")
        found.append(
            Reused("backtest", f"Sharpe {sharpe}, {trades} trades, gate {gates.get('backtest', '-')}")
        )
    if state["holdout_opening"] is not None:
        found.append(Reused("opening", f"opening {state['holdout_opening']['opening']}, not counted again"))
    return tuple(found)


def _of_child(child: Worker, work: str) -> ChildPlan:
    operation = child.operation
    if operation.status is Status.COMPLETED:
        action, what = Action.TAKE_RESULT, f"the {work} is done: its result is taken"
    elif operation.status is Status.RUNNING:
        at = f" ({operation.progress.message})" if operation.progress.message else ""
        action, what = Action.ATTACH, f"the {work} runs{at}: it is attached to"
    elif operation.status is Status.PENDING:
        action, what = Action.ATTACH, f"the {work} waits for its turn: it is attached to"
    elif child.checkpoint is None:
        action, what = Action.START, f"the {work} starts from its beginning"
    else:
        action, what = Action.RESUME, f"the {work} goes on after {_standing(child)}"
    return ChildPlan(operation.operation_id, operation.status, action, what)


def _again(child: Worker, action: Action, work: str) -> tuple[str, ...]:
    if action is Action.RESUME:
        return _steps_again(child)
    if action is Action.START and child.operation.attempt > 0:
        return (f"the {work} from its beginning, since it had no checkpoint yet",)
    return ()


def _done_steps(worker: Worker) -> tuple[Reused, ...]:
    kind = "training" if worker.operation.operation_type is OperationType.TRAINING else "backtest"
    return (Reused(kind, f"all up to {_standing(worker)}"),)


def _steps_again(worker: Worker) -> tuple[str, ...]:
    """The steps behind the checkpoint that had been seen, or the one that was under way."""
    noun, done, total = _steps(worker)
    seen = _number(worker.operation.progress.detail, noun) or 0
    fresh = ("indicators and signals, which are not kept",) if noun == "bar" else ()
    if seen > done + 1:
        return (f"{noun}s {done + 1:,} to {seen:,} of {total:,}: they came after the checkpoint", *fresh)
    if done < total:
        whole = ", from its beginning" if noun == "epoch" else " on"
        return (f"{noun} {done + 1:,} of {total:,}{whole}", *fresh)
    return (f"what follows the last {noun}", *fresh)


def _standing(worker: Worker) -> str:
    noun, done, total = _steps(worker)
    return f"{noun} {done:,} of {total:,}"


def _steps(worker: Worker) -> tuple[str, int, int]:
    """The noun of a worker's steps, how many its checkpoint has done, and how many there are."""
    state = {} if worker.checkpoint is None else worker.checkpoint.state
    if worker.operation.operation_type is OperationType.TRAINING:
        return "epoch", _number(state, "epoch") or 0, _number(state, "total_epochs") or 0
    first, last = _number(state, "first") or 0, _number(state, "last") or 0
    return "bar", _bars(state) or 0, last - first


def _bars(state: Mapping[str, Any]) -> int | None:
    bar, first = _number(state, "bar"), _number(state, "first")
    return None if bar is None or first is None else bar - first


def _number(state: Mapping[str, Any], name: str) -> int | None:
    found = state.get(name)
    return found if isinstance(found, int) else None


def _figure(result: Mapping[str, Any], name: str, form: str) -> str:
    found = result.get("metrics", {}).get(name)
    return format(found, form) if isinstance(found, int | float) else "unknown"
