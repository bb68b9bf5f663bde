"""BACKTESTING: wait for the backtest of the validation segment, then ask its gate."""

from __future__ import annotations

from dataclasses import replace

from ktrdr.agents.workbench import Step, Workbench
from ktrdr.domain.operations import backtest_id
from ktrdr.domain.sessions import AgentSession, Phase, backtest_gate


async def run(session: AgentSession, bench: Workbench) -> Step:
    """Take the backtest's result; its gate decides later whether the holdout is opened."""
    child_id = session.backtest_operation_id or backtest_id(session.operation_id)
    result = await bench.result_of(child_id, Phase.BACKTESTING)
    gate = backtest_gate(result.get("metrics", {}), bench.thresholds)
    gates = (*session.gates, gate.to_json())
    return Step(replace(session, phase=Phase.ASSESSING, backtest_result=result, gates=gates))
