"""What a resume says it will reuse and do anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.resume_plan import Action, Plan, Reused, Worker, plan_of, position
from ktrdr.checkpointing.schemas import (
    SCHEMA_VERSION,
    BacktestCheckpointState,
    CheckpointType,
    StoredCheckpoint,
    TrainingCheckpointState,
)
from ktrdr.domain.operations import Operation, OperationType, Progress, Status
from ktrdr.domain.resumes import Position
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason
from tests.unit.test_resumes import FAILED

DESIGNED = AgentSession(
    session_id=1,
    operation_id="op",
    trigger_reason=TriggerReason.MANUAL,
    seed=7,
    dataset="nasdaq",
    phase=Phase.TRAINING,
    strategy_config={"name": "calm"},
    training_operation_id="op.training",
)
TRAINED = replace(
    DESIGNED,
    phase=Phase.BACKTESTING,
    training_result={"metrics": {"balanced_accuracy": 0.3512}},
    gates=({"gate": "training", "passed": True, "reasons": []},),
    backtest_operation_id="op.backtesting",
)
TESTED = replace(
    TRAINED,
    phase=Phase.ASSESSING,
    backtest_result={"metrics": {"sharpe": 0.5, "trades": 1200}},
    gates=(*TRAINED.gates, {"gate": "backtest", "passed": True, "reasons": []}),
    holdout_opening={"opening": 3, "level": 0.01},
    holdout_operation_id="op.holdout",
)
EPOCH_17 = TrainingCheckpointState(17, 100).to_json()
BAR_300 = BacktestCheckpointState(bar=340, first=40, last=1040).to_json()


def stored(state: Mapping[str, Any]) -> StoredCheckpoint:
    return StoredCheckpoint(
        "op", 2, 1, CheckpointType.PERIODIC, SCHEMA_VERSION, state, "", None, {}, created_at=0.0
    )


def session(of: AgentSession) -> StoredCheckpoint:
    return stored(build(of).to_json())


def worker(
    name: str,
    status: Status,
    state: Mapping[str, Any] | None = None,
    kind: OperationType = OperationType.TRAINING,
    progress: Progress | None = None,
    attempt: int = 1,
) -> Worker:
    operation = replace(
        FAILED,
        operation_id=f"op.{name}",
        operation_type=kind,
        status=status,
        progress=progress or Progress(),
        attempt=attempt,
    )
    return Worker(operation, None if state is None else stored(state))


def alone(of: Worker) -> Plan:
    assert of.checkpoint is not None
    return plan_of(of.operation, of.checkpoint, None)


@pytest.mark.parametrize(
    ("strategy", "redone"),
    [
        (None, "the design, since it was not committed"),
        ({"name": "mine"}, "taking over the strategy that was given"),
    ],
)
def test_a_design_that_was_not_committed_is_done_anew(strategy: Any, redone: str) -> None:
    operation: Operation = replace(FAILED, request={"strategy": strategy})
    fresh = session(replace(DESIGNED, phase=Phase.DESIGNING, strategy_config=None))
    assert plan_of(operation, fresh, None) == Plan(redone=(redone,))


@pytest.mark.parametrize(
    ("child", "action", "what", "redone"),
    [
        (
            worker("training", Status.RUNNING, EPOCH_17, progress=Progress(20.0, "epoch 20 of 100")),
            Action.ATTACH,
            "the training runs (epoch 20 of 100): it is attached to",
            (),
        ),
        (
            worker("training", Status.PENDING, EPOCH_17),
            Action.ATTACH,
            "the training waits for its turn: it is attached to",
            (),
        ),
        (
            worker("training", Status.COMPLETED),
            Action.TAKE_RESULT,
            "the training is done: its result is taken",
            (),
        ),
        (
            worker("training", Status.FAILED, EPOCH_17),
            Action.RESUME,
            "the training goes on after epoch 17 of 100",
            ("epoch 18 of 100, from its beginning",),
        ),
        (
            worker("training", Status.CANCELLED, EPOCH_17, progress=Progress(25.0, "", {"epoch": 25})),
            Action.RESUME,
            "the training goes on after epoch 17 of 100",
            ("epochs 18 to 25 of 100: they came after the checkpoint",),
        ),
        (
            worker("training", Status.FAILED),
            Action.START,
            "the training starts from its beginning",
            ("the training from its beginning, since it had no checkpoint yet",),
        ),
        (
            worker("training", Status.FAILED, attempt=0),
            Action.START,
            "the training starts from its beginning",
            (),
        ),
    ],
)
def test_a_training_is_attached_to_taken_or_gone_on_with(
    child: Worker, action: Action, what: str, redone: tuple[str, ...]
) -> None:
    plan = plan_of(FAILED, session(DESIGNED), child)
    assert plan.reused == (Reused("design", "strategy 'calm'"),)
    assert plan.child is not None
    assert (plan.child.operation_id, plan.child.status) == ("op.training", child.operation.status)
    assert (plan.child.action, plan.child.what, plan.redone) == (action, what, redone)


def test_a_backtest_goes_on_at_its_bar_and_computes_its_signals_anew() -> None:
    child = worker("backtesting", Status.FAILED, BAR_300, OperationType.BACKTESTING)
    plan = plan_of(FAILED, session(TRAINED), child)
    assert plan.reused[1:] == (Reused("training", "balanced accuracy 35.1%, gate passed"),)
    assert plan.child is not None
    assert plan.child.what == "the backtest goes on after bar 300 of 1,000"
    assert plan.redone == ("bar 301 of 1,000 on", "indicators and signals, which are not kept")


def test_an_opening_is_not_counted_again_and_only_the_verdict_is_found_anew() -> None:
    child = worker("holdout", Status.COMPLETED, kind=OperationType.BACKTESTING)
    plan = plan_of(FAILED, session(TESTED), child)
    assert [one.part for one in plan.reused] == ["design", "training", "backtest", "opening"]
    assert plan.reused[2].what == "Sharpe 0.50, 1,200 trades, gate passed"
    assert plan.reused[3].what == "opening 3, not counted again"
    assert plan.child is not None
    assert plan.child.action is Action.TAKE_RESULT
    assert plan.redone == ("the verdict, since it was not committed",)


def test_a_session_whose_gate_failed_has_no_exam_to_wait_for() -> None:
    gates = ({"gate": "training", "passed": False, "reasons": ["low"]},)
    failed = replace(TRAINED, phase=Phase.ASSESSING, gates=gates, backtest_operation_id=None)
    plan = plan_of(FAILED, session(failed), None)
    assert plan.reused[-1].what == "balanced accuracy 35.1%, gate not passed"
    assert (plan.child, plan.redone) == (None, ("the verdict, since it was not committed",))


def test_a_figure_that_is_missing_is_called_unknown() -> None:
    untold = replace(TRAINED, training_result={}, gates=())
    assert plan_of(FAILED, session(untold), None).reused[-1].what == "balanced accuracy unknown, gate -"


def test_an_operation_of_its_own_goes_on_from_its_own_checkpoint() -> None:
    training = alone(worker("training", Status.FAILED, EPOCH_17))
    assert training.reused == (Reused("training", "all up to epoch 17 of 100"),)
    assert training.redone == ("epoch 18 of 100, from its beginning",)
    seen = Progress(50.0, "", {"bar": 500})
    kind = OperationType.BACKTESTING
    backtest = alone(worker("backtest", Status.FAILED, BAR_300, kind, progress=seen))
    assert backtest.reused == (Reused("backtest", "all up to bar 300 of 1,000"),)
    assert backtest.redone[0] == "bars 301 to 500 of 1,000: they came after the checkpoint"
    last = TrainingCheckpointState(100, 100).to_json()
    assert alone(worker("training", Status.FAILED, last)).redone == ("what follows the last epoch",)


def test_a_position_is_the_phase_and_how_far_its_child_has_come() -> None:
    agent = OperationType.AGENT_RESEARCH
    child = worker("training", Status.FAILED, EPOCH_17)
    assert position(agent, session(DESIGNED), child) == Position("TRAINING", "op.training", epoch=17)
    done = worker("training", Status.COMPLETED)
    assert position(agent, session(DESIGNED), done) == Position("TRAINING", "op.training", True)
    assert position(OperationType.TRAINING, stored(EPOCH_17), None) == Position(epoch=17)
    assert position(OperationType.BACKTESTING, stored(BAR_300), None) == Position(bar=300)
    assert position(agent, None, None) == Position()


@pytest.mark.parametrize("state", [{}, {"phase": [7]}, {"phase": "TRAINING", "epoch": "x"}, {"bar": None}])
def test_a_damaged_state_has_a_position_too(state: dict[str, Any]) -> None:
    """Whoever asks for the operation is told of the damage elsewhere, not by an error of ours."""
    for kind in OperationType:
        assert isinstance(position(kind, stored(state), None), Position)
