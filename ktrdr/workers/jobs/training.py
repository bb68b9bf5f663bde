"""What a training operation is: a problem made from its request, trained to a model on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.policy import Cadence, CheckpointPolicy
from ktrdr.checkpointing.schemas import TrainingCheckpointState
from ktrdr.data.loading import load_market
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training.loop import EpochReport, Snapshot, train
from ktrdr.training.problem import build_problem
from ktrdr.workers.jobs.files import TENSORS, pack, unpack
from ktrdr.workers.runner import Run


def run(run: Run, policy: CheckpointPolicy) -> Mapping[str, Any] | None:
    """Train to the end, or to the epoch at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    market = load_market(run.catalog, strategy, with_holdout=False)
    problem = build_problem(market, strategy, int(request["seed"]))
    trained = train(
        problem,
        _start(run),
        epoch_watcher(run, policy),
        threads=run.operation.resources.num_cpus,
        should_stop=run.should_stop,
    )
    if trained is None:
        return None
    manifest = write_generation(
        run.artifacts, f"{run.operation.operation_id}.model", pack(trained.tensors, trained.manifest)
    )
    return {
        "metrics": dict(trained.metrics),
        "model": manifest.to_json(),
        "weights_sha256": manifest.files[TENSORS].sha256,
    }


def _start(run: Run) -> Snapshot | None:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return None
    tensors, state = unpack(read_generation(run.artifacts, run.checkpoint.artifacts))
    return Snapshot(tensors, state)


def epoch_watcher(
    run: Run, policy: CheckpointPolicy
) -> Callable[[EpochReport, Callable[[], Snapshot]], bool]:
    """Called after each epoch: show it, keep it, say whether to go on."""
    cadence = Cadence(policy, time.monotonic())

    def after_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        run.report(_progress(report))
        taken = snapshot()
        state = TrainingCheckpointState(epoch=report.epoch, total_epochs=report.total_epochs)
        due = cadence.epoch(time.monotonic())
        run.keep(state.to_json(), lambda: pack(taken.tensors, taken.state), due=due)
        return not run.should_stop()

    return after_epoch


def _progress(report: EpochReport) -> Progress:
    return Progress(
        percent=100.0 * report.epoch / report.total_epochs,
        message=f"epoch {report.epoch} of {report.total_epochs}, {report.fold}, member {report.member}",
        detail={
            "epoch": report.epoch,
            "total_epochs": report.total_epochs,
            "fold": report.fold,
            "member": report.member,
            **({} if report.score is None else asdict(report.score)),
        },
    )
