"""What a backtest operation is: a model's signals over one segment, simulated bar by bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ktrdr.backtesting.kernel import run as advance
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.rules import Rules, rules_of
from ktrdr.backtesting.significance import exam
from ktrdr.checkpointing.artifacts import read_generation
from ktrdr.checkpointing.schemas import BacktestCheckpointState
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import parse_strategy
from ktrdr.workers.jobs.market import Traded, load_traded
from ktrdr.workers.runner import Run

CHUNK_BARS = 1000
CHECKPOINT_SECONDS = 1.0
SIMULATION = "simulation.safetensors"


def run(run: Run) -> Mapping[str, Any] | None:
    """Simulate the segment to its end, or to the bar at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    traded = load_traded(run, strategy, Segment(request["segment"]))
    first, last = traded.first, traded.last
    rules = rules_of(strategy)
    state = _start(run, traded, rules)
    saved = time.monotonic()
    while state.bar < last:
        state = advance(traded.bars, traded.targets, first, last, rules, state, CHUNK_BARS)
        run.report(_progress(state, first, last))
        due = time.monotonic() - saved > CHECKPOINT_SECONDS
        _keep(run, state, last, due=due)
        if due:
            saved = time.monotonic()
        if run.should_stop():
            return None
    return _result(traded, rules, state, request.get("level"))


def _start(run: Run, traded: Traded, rules: Rules) -> SimulationState:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return SimulationState.start(traded.first, rules, len(traded.symbols))
    return SimulationState.from_bytes(read_generation(run.artifacts, run.checkpoint.artifacts)[SIMULATION])


def _keep(run: Run, state: SimulationState, last: int, *, due: bool) -> None:
    """The arrays are files, so that the row stays small however long the backtest is."""
    kept = BacktestCheckpointState(bar=state.bar, first=state.first, last=last)
    run.keep(kept.to_json(), lambda: {SIMULATION: state.to_bytes()}, due=due)


def _result(traded: Traded, rules: Rules, state: SimulationState, level: float | None) -> dict[str, Any]:
    bars, targets, last = traded.bars, traded.targets, traded.last
    trades = [trade.to_json() for trade in state.trade_list()]
    return {
        "metrics": metrics(state, bars),
        "exam": None if level is None else exam(state, bars, targets, last, rules, level),
        "trades": trades,
        "trades_sha256": sha256_of(trades),
        "equity_sha256": sha256_of(state.equity.tolist()),
        "bars": last - state.first,
    }


def _progress(state: SimulationState, first: int, last: int) -> Progress:
    done = state.bar - first
    percent = 100.0 * done / max(1, last - first)
    message = f"bar {done} of {last - first}, {len(state.trades)} trades"
    return Progress(percent, message, {"bar": done, "bars": last - first, "trades": len(state.trades)})
