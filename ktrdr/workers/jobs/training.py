"""What a training operation is: a problem made from its request, trained to a model on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import torch

from ktrdr.checkpointing.artifacts import read_generation, write_generation
from ktrdr.checkpointing.history import HISTORY, history_bytes
from ktrdr.checkpointing.policy import Cadence, CheckpointPolicy
from ktrdr.checkpointing.schemas import TrainingCheckpointState
from ktrdr.data.loading import load_market
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.epochs import networks_of
from ktrdr.domain.operations import Progress
from ktrdr.domain.strategies import parse_strategy
from ktrdr.training.devices import CPU, device_of_checkpoint, resolve_device
from ktrdr.training.fitting import EpochScore
from ktrdr.training.loop import EpochReport, Snapshot, Trained, train
from ktrdr.training.problem import Problem, build_problem
from ktrdr.workers.jobs.files import TENSORS, pack, unpack
from ktrdr.workers.jobs.pace import Pace
from ktrdr.workers.runner import Run

DEVICE = "device"  # in a checkpoint's state: where its numbers were computed


def run(run: Run, policy: CheckpointPolicy) -> Mapping[str, Any] | None:
    """Train to the end, or to the epoch at which the run should stop (None)."""
    request, resources = run.operation.request, run.operation.resources
    strategy = parse_strategy(request["strategy_config"])
    start = _start(run)
    wanted = request.get("device") or strategy.training.device
    if start is None:
        device = resolve_device(wanted, resources.num_gpus)
    else:
        device = device_of_checkpoint(str(start.state[DEVICE]), wanted)
    market = load_market(run.catalog, strategy, with_holdout=False)
    problem = build_problem(market, strategy, int(request["seed"]))
    trained = train(
        problem,
        start,
        epoch_watcher(run, policy, device),
        threads=resources.num_cpus,
        device=device,
        should_stop=run.should_stop,
    )
    if trained is None:
        return None
    epochs, total = len(trained.history), problem.total_epochs  # fewer, where early stopping ended it
    detail = {"epoch": total, "total_epochs": total, "epochs_run": epochs, "eta_seconds": 0.0}
    run.report(Progress(100.0, f"trained in {epochs} epochs", detail))
    return _result(run, problem, trained, device)


def _result(run: Run, problem: Problem, trained: Trained, device: torch.device) -> dict[str, Any]:
    """What the row says of the model; every epoch is in a file beside it."""
    files = pack(trained.tensors, trained.manifest) | {HISTORY: history_bytes(trained.history)}
    manifest = write_generation(run.artifacts, f"{run.operation.operation_id}.model", files)
    known, request = trained.manifest, run.operation.request
    return {
        "metrics": dict(trained.metrics),
        "model": manifest.to_json(),
        "weights_sha256": manifest.files[TENSORS].sha256,
        "history_sha256": manifest.files[HISTORY].sha256,
        "features": known["features"],
        "classes": known["classes"],
        "epochs_run": len(trained.history),
        "networks": networks_of(
            trained.history, [one["name"] for one in known["folds"]], int(known["ensemble"])
        ),
        "device": str(device),
        "data_sha256": fingerprint_of(
            run.catalog, str(request["dataset"]), request["strategy_config"], {}
        ).data,
        "validation": _validation(problem),
    }


def _validation(problem: Problem) -> dict[str, str]:
    """The first and the last day of the rows that are predicted by networks which never saw them."""
    blocks = [fold.block[0] for fold in problem.folds]
    predicted = [(first, last) for first, last in blocks if last > first]
    time = problem.series[0].time
    edges = {"first": time[predicted[0][0]], "last": time[predicted[-1][1] - 1]}
    return {name: datetime.fromtimestamp(int(at), UTC).date().isoformat() for name, at in edges.items()}


def _start(run: Run) -> Snapshot | None:
    if run.checkpoint is None or run.checkpoint.artifacts is None:
        return None
    tensors, state = unpack(read_generation(run.artifacts, run.checkpoint.artifacts))
    return Snapshot(tensors, state)


def epoch_watcher(
    run: Run, policy: CheckpointPolicy, device: torch.device = CPU
) -> Callable[[EpochReport, Callable[[], Snapshot]], bool]:
    """Called after each epoch: show it, keep it, say whether to go on."""
    cadence, pace = Cadence(policy, time.monotonic()), Pace(time.monotonic())

    def after_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        now = time.monotonic()
        pace.epoch(now)
        run.report(_progress(report, pace))
        taken = snapshot()
        state = TrainingCheckpointState(epoch=report.epoch, total_epochs=report.total_epochs)
        kept = {**taken.state, DEVICE: str(device)}
        run.keep(state.to_json(), lambda: pack(taken.tensors, kept), due=cadence.epoch(now))
        return not run.should_stop()

    return after_epoch


def _progress(report: EpochReport, pace: Pace) -> Progress:
    done, score = report.epoch, report.score
    message = f"epoch {done} of {report.total_epochs}, {report.fold}, member {report.member}"
    if score is not None:
        message += f", loss {score.loss:.4f}, accuracy {score.accuracy:.1%}"
    return Progress(
        percent=100.0 * done / report.total_epochs,
        message=message,
        detail={
            "epoch": done,
            "total_epochs": report.total_epochs,
            "fold": report.fold,
            "member": report.member,
            **({} if score is None else _numbers(score)),
            "seconds_per_epoch": pace.seconds,
            "eta_seconds": pace.left(report.total_epochs - done),
        },
    )


def _numbers(score: EpochScore) -> dict[str, float | None]:
    """By the names of the history."""
    return {
        "loss": score.loss,
        "accuracy": score.accuracy,
        "validation_loss": score.watched_loss,
        "validation_accuracy": score.watched_accuracy,
        "learning_rate": score.learning_rate,
    }
