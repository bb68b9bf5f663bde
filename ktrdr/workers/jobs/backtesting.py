"""What a backtest operation is: a model's signals over one segment, simulated bar by bar."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ktrdr.backtesting.exports import report_files
from ktrdr.backtesting.kernel import CHUNK
from ktrdr.backtesting.kernel import run as advance
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.report import report
from ktrdr.backtesting.rules import Rules, rules_of
from ktrdr.backtesting.significance import exam
from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.schemas import BacktestCheckpointState, Manifest
from ktrdr.data.bars import Bars, development_bars
from ktrdr.data.loading import load_market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import Strategy, backtest_obstacle, parse_strategy, strategy_sha256
from ktrdr.domain.timeranges import parse_timerange
from ktrdr.training.signals import holdout_targets, validation_targets
from ktrdr.workers.jobs.files import unpack
from ktrdr.workers.jobs.pace import SpeedLimit
from ktrdr.workers.runner import Run

MIN_BARS = 2  # a return needs two closes
CHECKPOINT_SECONDS = 1.0
SIMULATION = "simulation.safetensors"


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is simulated: the targets of every bar, over the rows [first, last); and what they are."""

    bars: Bars
    targets: Any
    first: int
    last: int
    rules: Rules
    about: Mapping[str, Any]


def run(run: Run) -> Mapping[str, Any] | None:
    """Simulate the segment to its end, or to the bar at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    if (obstacle := backtest_obstacle(strategy)) is not None:
        raise StepFailed("NOT_BACKTESTED_YET", obstacle)
    if run.checkpoint is None:
        run.report(Progress(0.0, "indicators and signals"))
    rules = replace(rules_of(strategy), **request.get("rules", {}))
    problem = _problem(run, strategy, rules)
    state = _simulated(run, problem)
    return None if state is None else _result(run, strategy, problem, state)


def _problem(run: Run, strategy: Strategy, rules: Rules) -> _Problem:
    """Recomputed on resume, all of it causal."""
    request = run.operation.request
    segment = Segment(request["segment"])
    tensors, manifest = unpack(read_generation(run.artifacts, Manifest.from_json(request["model"])))
    market = load_market(run.catalog, strategy, with_holdout=segment is Segment.HOLDOUT)
    bars = market.bars(strategy.training_data.symbols.all[0], market.base)
    about = {
        "segment": "watched" if segment is Segment.VALIDATION and _watched(manifest) else segment.value,
        "strategy": strategy.name,
        "strategy_sha256": strategy_sha256(strategy),
        "dataset": request["dataset"],
    }
    if segment is Segment.HOLDOUT:
        first = development_bars(bars, run.catalog.dataset_of(strategy), market.base)
        targets = holdout_targets(tensors, manifest, market, strategy, first)
        return _Problem(bars, targets, first, len(bars), rules, about)
    targets, first, last = validation_targets(tensors, manifest, market, strategy)
    first, last = _days(bars, first, last, request.get("timerange"))
    return _Problem(bars, targets, first, last, rules, about)


def _watched(manifest: Mapping[str, Any]) -> bool:
    """Whether the rows that are predicted are those that the training stopped by: such figures flatter."""
    pairs = ((block, watched) for fold in manifest["folds"] for block, watched in _ranges(fold))
    return any(max(a[0], b[0]) < min(a[1], b[1]) for a, b in pairs)


def _ranges(fold: Mapping[str, Any]) -> zip[tuple[Any, Any]]:
    return zip(fold["block"], fold["watched"], strict=False)


def _days(bars: Bars, first: int, last: int, timerange: str | None) -> tuple[int, int]:
    """The rows of [first, last) that open on the days that were asked for."""
    if timerange is None:
        return first, last
    wanted = parse_timerange(timerange)
    if wanted.begin is not None:
        first = max(first, int(np.searchsorted(bars.time, wanted.begin)))
    if wanted.end is not None:
        last = min(last, int(np.searchsorted(bars.time, wanted.end)))
    if last - first < MIN_BARS:
        raise StepFailed(
            "NOT_ENOUGH_DATA",
            f"{max(0, last - first)} bars of the validation segment lie in {timerange}; at least {MIN_BARS} "
            "are needed. Name more days.",
        )
    return first, last


def _simulated(run: Run, problem: _Problem) -> SimulationState | None:
    """The state behind the last bar; None when it was told to stop, with the state before kept."""
    state = _start(run, problem)
    limit = SpeedLimit(run.operation.request.get("bars_per_second"), CHUNK)
    saved = time.monotonic()
    while (begin := state.bar) < problem.last:
        state = advance(
            problem.bars, problem.targets, problem.first, problem.last, problem.rules, state, limit.chunk
        )
        run.report(_progress(state, problem))
        limit.wait(state.bar - begin, run.should_stop)
        due = time.monotonic() - saved > CHECKPOINT_SECONDS
        saved = time.monotonic() if due else saved
        _keep(run, state, problem.last, due=due)
        if run.should_stop():
            return None
    return state


def _start(run: Run, problem: _Problem) -> SimulationState:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return SimulationState.start(problem.first, problem.rules)
    return SimulationState.from_bytes(read_generation(run.artifacts, run.checkpoint.artifacts)[SIMULATION])


def _keep(run: Run, state: SimulationState, last: int, *, due: bool) -> None:
    """The arrays are files, so that the row stays small however long the backtest is."""
    kept = BacktestCheckpointState(bar=state.bar, first=state.first, last=last)
    run.keep(kept.to_json(), lambda: {SIMULATION: state.to_bytes()}, due=due)


def _result(run: Run, strategy: Strategy, problem: _Problem, state: SimulationState) -> dict[str, Any]:
    """What the row says; the trades and the equity themselves are files of the report."""
    bars, rules, level = problem.bars, problem.rules, run.operation.request.get("level")
    trades = [trade.to_json() for trade in state.trade_list()]
    symbols = strategy.training_data.symbols.all
    found = report(state, bars, symbols, rules, bars.per_year, problem.about)
    files = report_files(found, state, bars)
    manifest = write_generation(run.artifacts, f"{run.operation.operation_id}.report", files)
    return {
        "metrics": found["metrics"],
        "exam": None if level is None else exam(state, bars, problem.targets, problem.last, rules, level),
        "trades_sha256": sha256_of(trades),
        "equity_sha256": sha256_of(state.equity.tolist()),
        "exit_reasons": dict(Counter(trade["reason"] for trade in trades)),
        "bars": problem.last - problem.first,
        "first": _date(bars, problem.first),
        "last": _date(bars, problem.last - 1),
        "segment": problem.about["segment"],
        "report": manifest.to_json(),
    }


def _progress(state: SimulationState, problem: _Problem) -> Progress:
    done, total = state.bar - problem.first, problem.last - problem.first
    equity = float(state.equity[-1])
    date, profit = _date(problem.bars, state.bar - 1), equity / state.capital - 1.0
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


def _date(bars: Bars, row: int) -> str:
    """When a bar opens."""
    return datetime.fromtimestamp(int(bars.time[row]), UTC).isoformat()
