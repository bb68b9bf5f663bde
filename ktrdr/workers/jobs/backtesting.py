"""What a backtest operation is: a model's signals over one segment, simulated bar by bar."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ktrdr.backtesting.exports import report_files
from ktrdr.backtesting.kernel import CHUNK
from ktrdr.backtesting.kernel import run as advance
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.report import report
from ktrdr.backtesting.rules import Rules, rules_of
from ktrdr.backtesting.significance import exam
from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.schemas import BacktestCheckpointState
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import Strategy, parse_strategy, strategy_sha256
from ktrdr.workers.jobs.market import Traded, load_traded
from ktrdr.workers.jobs.pace import SpeedLimit
from ktrdr.workers.runner import Run

CHECKPOINT_SECONDS = 1.0
SIMULATION = "simulation.safetensors"


def run(run: Run) -> Mapping[str, Any] | None:
    """Simulate the segment to its end, or to the bar at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    if run.checkpoint is None:
        run.report(Progress(0.0, "indicators and signals"))
    rules = replace(rules_of(strategy), **request.get("rules", {}))
    traded = load_traded(run, strategy, Segment(request["segment"])).within(request.get("timerange"))
    state = _simulated(run, traded, rules)
    return None if state is None else _result(run, strategy, traded, rules, state)


def _simulated(run: Run, traded: Traded, rules: Rules) -> SimulationState | None:
    """The state behind the last bar; None when it was told to stop, with the state before kept."""
    state = _start(run, traded, rules)
    limit = SpeedLimit(run.operation.request.get("bars_per_second"), CHUNK)
    saved = time.monotonic()
    while (begin := state.bar) < traded.last:
        state = advance(traded.bars, traded.targets, traded.first, traded.last, rules, state, limit.chunk)
        run.report(_progress(state, traded))
        limit.wait(state.bar - begin, run.should_stop)
        due = time.monotonic() - saved > CHECKPOINT_SECONDS
        saved = time.monotonic() if due else saved
        _keep(run, state, traded.last, due=due)
        if run.should_stop():
            return None
    return state


def _start(run: Run, traded: Traded, rules: Rules) -> SimulationState:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return SimulationState.start(traded.first, rules, len(traded.symbols))
    return SimulationState.from_bytes(read_generation(run.artifacts, run.checkpoint.artifacts)[SIMULATION])


def _keep(run: Run, state: SimulationState, last: int, *, due: bool) -> None:
    """The arrays are files, so that the row stays small however long the backtest is."""
    kept = BacktestCheckpointState(bar=state.bar, first=state.first, last=last)
    run.keep(kept.to_json(), lambda: {SIMULATION: state.to_bytes()}, due=due)


def _result(
    run: Run, strategy: Strategy, traded: Traded, rules: Rules, state: SimulationState
) -> dict[str, Any]:
    """What the row says; the trades and the equity themselves are files of the report."""
    request, bars, last = run.operation.request, traded.bars, traded.last
    level = request.get("level")
    trades = [trade.to_json() for trade in state.trade_list()]
    about = {
        "segment": "watched" if traded.watched else request["segment"],
        "strategy": strategy.name,
        "strategy_sha256": strategy_sha256(strategy),
        "dataset": request["dataset"],
    }
    found = report(state, bars, traded.symbols, rules, bars.per_year, about)
    files = report_files(found, state, bars)
    manifest = write_generation(run.artifacts, f"{run.operation.operation_id}.report", files)
    return {
        "metrics": found["metrics"],
        "exam": None if level is None else exam(state, bars, traded.targets, last, rules, level),
        "trades_sha256": sha256_of(trades),
        "equity_sha256": sha256_of(state.equity.tolist()),
        "exit_reasons": dict(Counter(trade["reason"] for trade in trades)),
        "bars": last - traded.first,
        "first": _date(traded, traded.first),
        "last": _date(traded, last - 1),
        "segment": about["segment"],
        "report": manifest.to_json(),
    }


def _progress(state: SimulationState, traded: Traded) -> Progress:
    done, total = state.bar - traded.first, traded.last - traded.first
    equity = float(state.equity[-1])
    date, profit = _date(traded, state.bar - 1), equity / state.capital - 1.0
    return Progress(
        percent=100.0 * done / total,
        message=f"bar {done:,} of {total:,}, {date[:10]}, profit {profit:+.2%}, {len(state.trades):,} trades",
        detail={
            "bar": done,
            "bars": total,
            "date": date,
            "equity": equity,
            "profit_ratio": profit,
            "trades": len(state.trades),
        },
    )


def _date(traded: Traded, row: int) -> str:
    """When a bar opens."""
    return datetime.fromtimestamp(int(traded.bars.time[row]), UTC).isoformat()
