"""What a training operation is: a problem made from its request, trained to a model on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.schemas import TrainingCheckpointState
from ktrdr.data.loading import load_development
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training.loop import EpochReport, Snapshot, train
from ktrdr.training.problem import build_problem
from ktrdr.workers.jobs.files import TENSORS, pack, unpack
from ktrdr.workers.runner import Run


def run(run: Run) -> Mapping[str, Any] | None:
    """Train to the end, or to the epoch at which the run should stop (None)."""
    request = run.operation.request
    strategy = parse_strategy(request["strategy_config"])
    bars = load_development(run.catalog, str(request["dataset"]))
    problem = build_problem(bars, strategy, int(request["seed"]))
    trained = train(
        problem,
        _start(run),
        _epoch_watcher(run),
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


def _epoch_watcher(run: Run) -> Callable[[EpochReport, Callable[[], Snapshot]], bool]:
    """Called after each epoch: show it, save it when the last save is recorded, say whether to go on."""

    def after_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        run.report(_progress(report))
        if run.checkpoint_due():
            taken = snapshot()
            state = TrainingCheckpointState(epoch=report.epoch, total_epochs=report.total_epochs)
            run.save(pack(taken.tensors, taken.state), state.to_json())
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
            "loss": report.loss,
        },
    )
