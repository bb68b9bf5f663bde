"""What a fork takes over, what it may change, and what is refused by name. No database, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ktrdr.agents.forking import ForkPlan, Origin, plan_fork
from ktrdr.domain.errors import GateNotPassed, InvalidInput, PhaseNotFinished
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.operations import Operation, OperationType, Progress, Resources, Status
from ktrdr.domain.sessions import AgentSession, GateThresholds, Phase, TriggerReason
from ktrdr.domain.strategies import parse_strategy
from tests.integration.strategies import SMALL

CONFIG = parse_strategy(SMALL).to_config()
OPEN = GateThresholds(0.0, -10.0, 1.0, 0)
MODEL = {"path": "research_1.training.model/0", "files": {}}
TRAINED = {"metrics": {"balanced_accuracy": 0.4}, "model": MODEL}
TESTED = {"metrics": {"trades": 20, "sharpe": 0.5, "max_drawdown": 0.2}}
PASSED: tuple[dict[str, Any], ...] = tuple(
    {"gate": name, "passed": True, "reasons": []} for name in ("training", "backtest")
)
WHOLE = AgentSession(
    session_id=3,
    operation_id="research_1",
    trigger_reason=TriggerReason.SCHEDULED,
    seed=7,
    dataset="nasdaq",
    phase=Phase.COMPLETED,
    brief="about momentum",
    strategy_config=CONFIG,
    research_notes="notes",
    training_operation_id="research_1.training",
    training_result=TRAINED,
    backtest_operation_id="research_1.backtesting",
    backtest_result=TESTED,
    holdout_operation_id="research_1.holdout",
    holdout_opening={"opening": 1, "level": 0.03},
    gates=PASSED,
    assessment={"verdict": "NOT_PROVEN"},
    result_fingerprint="f" * 64,
)
REQUEST = {"trigger_reason": "scheduled", "seed": 7, "dataset": "nasdaq", "brief": "about momentum"}
REQUEST |= {"strategy": None, "known_trials": [1, 2]}


def operation(status: Status = Status.COMPLETED) -> Operation:
    return Operation(
        operation_id="research_1",
        operation_type=OperationType.AGENT_RESEARCH,
        status=status,
        is_backend_local=True,
        parent_operation_id=None,
        request=REQUEST,
        attempt=1,
        owner="me",
        executor_ref=None,
        lease_expires_at=None,
        cancel_requested_at=None,
        progress=Progress(),
        result=None,
        error_code=None,
        error_message=None,
        error_details=None,
        resources=Resources(),
        revision=9,
        created_at=0.0,
        queued_at=0.0,
        started_at=0.0,
        completed_at=0.0,
        updated_at=0.0,
    )


def forked(
    phase: Phase,
    session: AgentSession = WHOLE,
    *,
    thresholds: GateThresholds = OPEN,
    status: Status = Status.COMPLETED,
    **wanted: Any,
) -> ForkPlan:
    named = {name.replace("__", "."): value for name, value in wanted.items()}
    return plan_fork(Origin(session, operation(status)), phase, named, thresholds, "research_2")


def refused(phase: Phase, **wanted: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refusal:
        forked(phase, **wanted)
    return refusal.value


def test_a_fork_from_designing_is_asked_for_the_same_and_has_nothing_yet() -> None:
    """The designer sees the trials that the origin's did, so the seed alone makes the difference."""
    plan = forked(Phase.DESIGNING, seed=8, brief="another")
    assert plan.session == AgentSession(
        0, "research_2", TriggerReason.MANUAL, 8, "nasdaq", Phase.DESIGNING, "another"
    )
    assert (plan.request["known_trials"], plan.request["seed"]) == ([1, 2], 8)
    assert plan.children == ()
    assert plan.changes == {
        "seed": {"from": 7, "to": 8},
        "brief": {"from": "about momentum", "to": "another"},
    }


def test_a_fork_from_training_trains_the_changed_strategy_itself() -> None:
    plan = forked(Phase.TRAINING, strategy__training__epochs=60)
    (child,) = plan.children
    assert (child.operation_id, child.parent_operation_id) == ("research_2.training", "research_2")
    assert child.request["strategy_config"]["training"]["epochs"] == 60
    assert child.request["seed"] == derive_seed(7, "training")
    assert plan.session.training_operation_id == "research_2.training"
    assert (plan.session.training_result, plan.session.gates) == (None, ())
    assert plan.changes == {"strategy.training.epochs": {"from": 120, "to": 60}}


def test_a_fork_from_backtesting_takes_the_model_over() -> None:
    """The training that is named stays the origin's: it is lineage, and no child of the fork."""
    plan = forked(Phase.BACKTESTING, strategy__decisions__confidence_threshold=0.5)
    (child,) = plan.children
    assert child.operation_id == "research_2.backtesting"
    assert child.request["model"] == MODEL
    assert child.request["strategy_config"]["decisions"]["confidence_threshold"] == 0.5
    assert plan.session.training_operation_id == "research_1.training"
    assert plan.session.own_children == ("research_2.backtesting",)
    assert plan.session.gates == PASSED[:1]
    assert plan.session.backtest_result is None


def test_a_fork_of_a_fork_names_the_training_that_was_run() -> None:
    fork = replace(WHOLE, session_id=4, operation_id="research_9")
    session = forked(Phase.ASSESSING, fork).session
    assert session.training_operation_id == "research_1.training"
    assert session.own_children == ()


def test_a_fork_from_assessing_has_no_opening_of_the_holdout_yet() -> None:
    """It sits the exam itself, and that is counted."""
    plan = forked(Phase.ASSESSING)
    session = plan.session
    assert (session.backtest_result, session.gates) == (TESTED, PASSED)
    assert (session.holdout_operation_id, session.holdout_opening, session.assessment) == (None, None, None)
    assert (session.result_fingerprint, session.own_children, plan.changes) == (None, (), {})


def test_the_origin_is_not_changed_through_what_is_shared() -> None:
    forked(Phase.TRAINING, strategy__indicators__rsi_14__parameters__period=20)
    assert WHOLE.strategy_config == parse_strategy(SMALL).to_config()


def test_values_are_added_and_taken_out() -> None:
    stopped = forked(Phase.BACKTESTING, strategy__decisions__risk__stop_loss=0.05)
    config = stopped.session.strategy_config
    assert config is not None
    assert config["decisions"]["risk"] == {"stop_loss": 0.05}
    again = forked(
        Phase.BACKTESTING, replace(WHOLE, strategy_config=config), strategy__decisions__risk__stop_loss=None
    )
    assert again.changes["strategy.decisions.risk.stop_loss"] == {"from": 0.05, "to": None}


def test_a_place_in_a_list_can_be_set() -> None:
    plan = forked(Phase.TRAINING, strategy__nn_inputs__1__timeframes=["1d"])
    assert (plan.session.strategy_config or {})["nn_inputs"][1]["timeframes"] == ["1d"]


def test_what_is_set_to_the_value_it_has_changes_nothing() -> None:
    """Even where a change would be refused."""
    assert forked(Phase.ASSESSING, seed=7, strategy__training__epochs=120).changes == {}


@pytest.mark.parametrize(
    ("phase", "name", "value", "instead"),
    [
        (Phase.TRAINING, "brief", "x", "DESIGNING"),
        (Phase.BACKTESTING, "seed", 8, "TRAINING"),
        (Phase.BACKTESTING, "strategy__training__epochs", 60, "TRAINING"),
        (Phase.BACKTESTING, "strategy__decisions__num_classes", 2, "TRAINING"),
        (Phase.ASSESSING, "strategy__decisions__confidence_threshold", 0.5, "BACKTESTING"),
        (Phase.DESIGNING, "strategy__training__epochs", 60, "TRAINING"),
    ],
)
def test_a_setting_of_a_phase_that_is_not_run_again_is_refused_with_the_phase_to_fork_from(
    phase: Phase, name: str, value: Any, instead: str
) -> None:
    refusal = refused(phase, **{name: value})
    dotted = name.replace("__", ".")
    assert f"{dotted}: " in refusal.message
    assert f"fork from {instead} to change it" in refusal.message


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("training.epochs", "strategy.training.epochs"),
        ("sed", "seed"),
        ("strategy_decisions.confidence_threshold", "strategy.decisions.confidence_threshold"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest(name: str, close: str) -> None:
    refusal = refused(Phase.TRAINING, **{name: 1})
    errors: Any = refusal.details["errors"]
    assert errors[0]["closest"][0] == close
    assert f"did you mean {close}" in refusal.message


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            {"strategy.training.ephocs": 5},
            "strategy.training.ephocs: unknown key 'ephocs'; did you mean 'epochs'",
        ),
        ({"strategy.training.epochs": 0}, ": strategy.training.epochs: "),
        ({"strategy.training.epochs.more": 1}, "not a mapping"),
        ({"strategy.nn_inputs.9": {}}, "there is no '9' in a list of 2"),
        ({"strategy.training.momentum": None}, "there is no such setting"),
        ({"strategy.": 1}, "unknown key"),
        ({"seed": -1}, "a whole number"),
        ({"seed": True}, "a whole number"),
        ({"brief": 5}, "a text"),
        ({"strategy.training.learning_rate": float("nan")}, "not finite"),
    ],
)
def test_a_value_that_is_not_valid_is_refused_by_name(wanted: dict[str, Any], said: str) -> None:
    assert said in refused(Phase.TRAINING, **wanted).message


def test_every_wrong_setting_is_named_at_once() -> None:
    errors: Any = refused(Phase.TRAINING, sed=1, bref="x").details["errors"]
    assert [one["path"] for one in errors] == ["sed", "bref"]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "wanted", [{"strategy.scope": nested(100_000)}, {f"strategy{'.x' * 100_000}": 1}, {"seed": nested(33)}]
)
def test_what_is_too_deep_to_be_walked_is_refused(wanted: dict[str, Any]) -> None:
    assert "more than 32 levels" in refused(Phase.TRAINING, **wanted).message


def test_what_is_as_deep_as_a_file_may_be_is_taken() -> None:
    assert forked(Phase.TRAINING, strategy__scope=nested(30)).changes


STOPPED = replace(WHOLE, phase=Phase.TRAINING, training_result=None, backtest_result=None, gates=())


@pytest.mark.parametrize(
    ("phase", "session", "possible"),
    [
        (Phase.TRAINING, replace(STOPPED, phase=Phase.DESIGNING, strategy_config=None), ["DESIGNING"]),
        (Phase.BACKTESTING, STOPPED, ["DESIGNING", "TRAINING"]),
        (
            Phase.ASSESSING,
            replace(STOPPED, training_result=TRAINED),
            ["DESIGNING", "TRAINING", "BACKTESTING"],
        ),
    ],
)
def test_a_phase_that_was_not_come_to_is_refused_with_those_that_can_be(
    phase: Phase, session: AgentSession, possible: list[str]
) -> None:
    with pytest.raises(PhaseNotFinished) as refusal:
        forked(phase, session, status=Status.FAILED)
    assert refusal.value.details["forkable_from"] == possible
    assert "ktrdr research resume 3" in refusal.value.message


@pytest.mark.parametrize("status", list(Status))
def test_what_is_finished_can_be_forked_however_the_session_stands(status: Status) -> None:
    assert forked(Phase.TRAINING, STOPPED, status=status).children


def test_gates_are_asked_again_under_the_present_thresholds() -> None:
    """As of a session that begins now; what the origin failed and the fork passes is shown as a change."""
    with pytest.raises(GateNotPassed) as refusal:
        forked(Phase.BACKTESTING, thresholds=replace(OPEN, min_balanced_accuracy=0.5))
    assert "balanced_accuracy 0.4 is below 0.5" in refusal.value.message
    with pytest.raises(GateNotPassed) as refusal:
        forked(Phase.ASSESSING, thresholds=replace(OPEN, min_trades=21))
    assert "Fork it from BACKTESTING" in refusal.value.message

    failed = {"gate": "training", "passed": False, "reasons": ["balanced_accuracy 0.4 is below 0.5"]}
    plan = forked(Phase.BACKTESTING, replace(WHOLE, gates=(failed,)))
    assert plan.session.gates == PASSED[:1]
    assert plan.changes == {
        "gates.training": {"from": "failed: balanced_accuracy 0.4 is below 0.5", "to": "passed"}
    }
