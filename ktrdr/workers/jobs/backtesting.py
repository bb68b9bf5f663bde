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
from ktrdr.checkpointing.schemas import BacktestCheckpointState, Manifest
from ktrdr.data.bars import Bars, development_bars
from ktrdr.data.loading import load_market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import Strategy, backtest_obstacle, parse_strategy
from ktrdr.training.signals import holdout_targets, validation_targets
from ktrdr.workers.jobs.files import unpack
from ktrdr.workers.runner import Run

CHUNK_BARS = 1000
CHECKPOINT_SECONDS = 1.0
SIMULATION = "simulation.safetensors"


def run(run: Run) -> Mapping[str, Any] | None:
    """Simulate the segment to its end, or to the bar at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    if (obstacle := backtest_obstacle(strategy)) is not None:
        raise StepFailed("NOT_BACKTESTED_YET", obstacle)
    bars, targets, first, last = _signals(run, strategy, Segment(request["segment"]))
    rules = rules_of(strategy)
    state = _start(run, first, rules)
    saved = time.monotonic()
    while state.bar < last:
        state = advance(bars, targets, first, last, rules, state, CHUNK_BARS)
        run.report(_progress(state, first, last))
        due = time.monotonic() - saved > CHECKPOINT_SECONDS
        _keep(run, state, last, due=due)
        if due:
            saved = time.monotonic()
        if run.should_stop():
            return None
    return _result(bars, targets, last, rules, state, request.get("level"))


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


def _start(run: Run, first: int, rules: Rules) -> SimulationState:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return SimulationState.start(first, rules)
    return SimulationState.from_bytes(read_generation(run.artifacts, run.checkpoint.artifacts)[SIMULATION])


def _keep(run: Run, state: SimulationState, last: int, *, due: bool) -> None:
    """The arrays are files, so that the row stays small however long the backtest is."""
    kept = BacktestCheckpointState(bar=state.bar, first=state.first, last=last)
    run.keep(kept.to_json(), lambda: {SIMULATION: state.to_bytes()}, due=due)


def _result(
    bars: Bars, targets: Any, last: int, rules: Rules, state: SimulationState, level: float | None
) -> dict[str, Any]:
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
