"""What a backtest operation is: a model's signals over one segment, simulated bar by bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ktrdr.backtesting.kernel import CHUNK
from ktrdr.backtesting.kernel import run as advance
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.portfolio import INITIAL_CASH, Costs, SimulationState
from ktrdr.backtesting.significance import exam
from ktrdr.checkpointing.artifacts import read_generation
from ktrdr.checkpointing.schemas import BacktestCheckpointState, Manifest
from ktrdr.data.bars import Bars, development_bars
from ktrdr.data.loading import load_market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import Strategy, backtest_obstacle, parse_strategy
from ktrdr.domain.timeranges import parse_timerange
from ktrdr.training.signals import holdout_targets, validation_targets
from ktrdr.workers.jobs.files import unpack
from ktrdr.workers.jobs.pace import SpeedLimit
from ktrdr.workers.runner import Run

MIN_BARS = 2  # a return needs two closes
CHECKPOINT_SECONDS = 1.0


def run(run: Run) -> Mapping[str, Any] | None:
    """Simulate the segment to its end, or to the bar at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    if (obstacle := backtest_obstacle(strategy)) is not None:
        raise StepFailed("NOT_BACKTESTED_YET", obstacle)
    bars, targets, first, last = _signals(run, strategy, Segment(request["segment"]))
    first, last = _days(bars, first, last, request.get("timerange"))
    costs = Costs(strategy.decisions.cost_model.round_trip_cost)
    state = _start(run, first)
    limit = SpeedLimit(request.get("bars_per_second"), CHUNK)
    saved = time.monotonic()
    while state.bar < last:
        before = state.bar
        state = advance(bars, targets, first, last, costs, state, limit.chunk)
        run.report(_progress(state, bars, first, last))
        limit.wait(state.bar - before, run.should_stop)
        stopping = run.should_stop()
        if stopping or time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            kept = BacktestCheckpointState(bar=state.bar, first=first, last=last, simulation=state.to_json())
            run.keep(kept.to_json(), due=True)
        if stopping:
            return None
    return _result(bars, targets, last, costs, state, request.get("level"))


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


def _signals(run: Run, strategy: Strategy, segment: Segment) -> tuple[Bars, Any, int, int]:
    """The bars, each bar's target and the segment; recomputed on resume, all of it causal."""
    tensors, manifest = unpack(
        read_generation(run.artifacts, Manifest.from_json(run.operation.request["model"]))
    )
    market = load_market(run.catalog, strategy, with_holdout=segment is Segment.HOLDOUT)
    bars = market.bars(strategy.training_data.symbols.all[0], market.base)
    if segment is Segment.HOLDOUT:
        first = development_bars(bars, run.catalog.dataset_of(strategy), market.base)
        return bars, holdout_targets(tensors, manifest, market, strategy, first), first, len(bars)
    targets, first, last = validation_targets(tensors, manifest, market, strategy)
    return bars, targets, first, last


def _start(run: Run, first: int) -> SimulationState:
    if run.checkpoint is None:
        return SimulationState.start(first)
    kept = BacktestCheckpointState.from_json(run.checkpoint.state)
    return SimulationState.from_json(kept.simulation)


def _result(
    bars: Bars, targets: Any, last: int, costs: Costs, state: SimulationState, level: float | None
) -> dict[str, Any]:
    trades = [trade.to_json() for trade in state.trade_list()]
    return {
        "metrics": metrics(state, bars),
        "exam": None if level is None else exam(state, bars, targets, last, costs, level),
        "trades": trades,
        "trades_sha256": sha256_of(trades),
        "equity_sha256": sha256_of(state.equity.tolist()),
        "bars": last - state.first,
    }


def _progress(state: SimulationState, bars: Bars, first: int, last: int) -> Progress:
    done, total = state.bar - first, last - first
    equity = float(state.equity[-1])
    date = datetime.fromtimestamp(int(bars.time[state.bar - 1]), UTC).isoformat()
    profit = equity / INITIAL_CASH - 1.0
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
