"""TRAINING: wait for the training child, then ask its gate."""

from __future__ import annotations

from dataclasses import replace

from ktrdr.agents.workbench import Step, Workbench
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import NewOperation, OperationType, backtest_id, training_id
from ktrdr.domain.sessions import AgentSession, Phase, training_gate


async def run(session: AgentSession, bench: Workbench) -> Step:
    """Take the training's result; go to the backtest, or to ASSESSING when nothing was learnt."""
    child_id = session.training_operation_id or training_id(session.operation_id)
    result = await bench.result_of(child_id, Phase.TRAINING)
    gate = training_gate(result.get("metrics", {}), bench.thresholds)
    after = replace(session, training_result=result, gates=(*session.gates, gate.to_json()))
    if not gate.passed:
        return Step(replace(after, phase=Phase.ASSESSING))
    child = backtest_of(after, Segment.VALIDATION, backtest_id(session.operation_id))
    return Step(replace(after, phase=Phase.BACKTESTING, backtest_operation_id=child.operation_id), (child,))


def training_of(session: AgentSession) -> NewOperation:
    """The training of a session's strategy."""
    return NewOperation(
        operation_id=training_id(session.operation_id),
        operation_type=OperationType.TRAINING,
        request={
            "dataset": session.dataset,
            "strategy_config": session.strategy_config,
            "seed": derive_seed(session.seed, "training"),
        },
        parent_operation_id=session.operation_id,
    )


def backtest_of(session: AgentSession, segment: Segment, operation_id: str) -> NewOperation:
    """The backtest of a session's trained model over one segment."""
    return NewOperation(
        operation_id=operation_id,
        operation_type=OperationType.BACKTESTING,
        request={
            "dataset": session.dataset,
            "strategy_config": session.strategy_config,
            "segment": segment.value,
            "model": (session.training_result or {})["model"],
            "level": (session.holdout_opening or {}).get("level"),
        },
        parent_operation_id=session.operation_id,
    )
