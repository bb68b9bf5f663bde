"""An epoch with a checkpoint against the same epoch without one.

A perceptron 64-32-3 on 100,000 rows of 30 features, batch 256, one thread, trained by the product's loop.
Both have the worker's recorder beat beside them, on SQLite; one of them hands the state over after every
epoch, and the writer makes generations of it, synced to the disk, which the recorder points at. The two
take turns, a stretch of epochs each. Prints the lower quartiles by the clock and by the CPU time of all
threads, which other programs on the machine disturb less, and how many generations and rows were written;
exits with 1 when the ratio by the clock is above the limit.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktrdr.workers.threads import limit_threads

limit_threads()

import numpy as np  # noqa: E402 - the threads are counted when it is imported

from ktrdr.checkpointing.artifacts import write_generation  # noqa: E402
from ktrdr.checkpointing.schemas import Manifest, TrainingCheckpointState  # noqa: E402
from ktrdr.data.bars import Bars  # noqa: E402
from ktrdr.data.market import Market  # noqa: E402
from ktrdr.domain.fingerprints import Fingerprint  # noqa: E402
from ktrdr.domain.operations import Event, NewOperation, OperationType, Progress  # noqa: E402
from ktrdr.domain.strategies import parse_strategy  # noqa: E402
from ktrdr.persistence.unit_of_work import Database  # noqa: E402
from ktrdr.training.loop import EpochReport, Snapshot, train  # noqa: E402
from ktrdr.training.problem import Problem, build_problem  # noqa: E402
from ktrdr.workers.jobs.files import pack  # noqa: E402
from ktrdr.workers.recorder import Recorder  # noqa: E402
from ktrdr.workers.writer import CheckpointWriter, Kept  # noqa: E402

ROWS = 100_000
FEATURES = 30
EPOCHS = 11  # a stretch; the first is not counted
ROUNDS = 25
LIMIT = 1.015
OPERATION = "benchmark"


def problem() -> Problem:
    """A random walk, and an RSI of every period from 2 on: what it learns does not matter here."""
    random = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, round(ROWS / 0.9) + 100)))
    bars = Bars(np.arange(len(close)), close, 1.01 * close, 0.99 * close, close, np.ones(len(close)))
    periods = range(2, FEATURES + 2)
    config: dict[str, Any] = {
        "name": "benchmark",
        "version": "3.0",
        "training_data": {
            "symbols": {"mode": "single", "symbol": "NASDAQ"},
            "timeframes": {"mode": "single", "timeframe": "1d"},
            "history_required": 50,
        },
        "indicators": {f"rsi_{period}": {"type": "rsi", "period": period} for period in periods},
        "fuzzy_sets": {"unused": {"indicator": "rsi_2", "low": [0, 25, 45]}},
        "nn_inputs": [
            {"raw_indicator": f"rsi_{period}", "timeframes": "all", "normalization": "zscore"}
            for period in periods
        ],
        "model": {"type": "mlp", "architecture": {"hidden_layers": [64, 32], "activation": "relu"}},
        "decisions": {"output_format": "classification", "num_classes": 3},
        "training": {
            "epochs": EPOCHS + 1,
            "batch_size": 256,
            "learning_rate": 0.001,
            "walk_forward": {"folds": 1, "initial_fraction": 0.9},
            "labels": {"source": "forward_return", "horizon": 5},
        },
    }
    return build_problem(Market("1d", {("NASDAQ", "1d"): bars}), parse_strategy(config), seed=1)


@dataclass
class Disk:
    """`write_generation`, counted."""

    generations: int = 0

    def __call__(self, root: Path, operation_id: str, files: Mapping[str, bytes]) -> Manifest:
        self.generations += 1
        return write_generation(root, operation_id, files)


def stretch(problem: Problem, keep: Callable[[EpochReport, Snapshot], None] | None) -> tuple[float, float]:
    """Seconds an epoch by the clock and of CPU, with `keep` called after each."""
    ends: list[tuple[float, float]] = []

    def on_epoch(report: EpochReport, snapshot: Callable[[], Snapshot]) -> bool:
        if keep is not None:
            keep(report, snapshot())
        ends.append((time.perf_counter(), time.process_time()))
        return len(ends) < EPOCHS

    assert train(problem, None, on_epoch, threads=1) is None
    (wall_first, cpu_first), (wall_last, cpu_last) = ends[0], ends[-1]
    return (wall_last - wall_first) / (EPOCHS - 1), (cpu_last - cpu_first) / (EPOCHS - 1)


async def _insert(url: str) -> None:
    database = Database(url)
    await database.migrate()
    async with database.transaction() as tx:
        await tx.operations.insert_if_absent(NewOperation(OPERATION, OperationType.TRAINING, {}))
    await database.close()


async def _rows(url: str) -> int:
    database = Database(url)
    async with database.read() as tx:
        found = await tx.checkpoints.get(OPERATION)
    await database.close()
    return 0 if found is None else found.sequence


def measure(home: Path) -> float:
    """The cost of a checkpoint each epoch, as the ratio of the lower quartiles."""
    url = f"sqlite+aiosqlite:///{home / 'ktrdr.db'}"
    asyncio.run(_insert(url))
    trained, disk = problem(), Disk()
    recorder = Recorder(lambda: Database(url), home / "artifacts")
    recorder.start()
    assert recorder.claim(OPERATION, "host", "local:host:1:0") is not None
    writer = CheckpointWriter(recorder, home / "artifacts", OPERATION, disk)
    recorder.begin(Fingerprint(strategy="s", data="d", code="c", settings="x"), writer.wake)

    def keep(report: EpochReport, snapshot: Snapshot) -> None:
        recorder.report(
            Progress(
                1.0,
                "epoch",
                {"epoch": report.epoch, "loss": None if report.score is None else report.score.loss},
            )
        )
        state = TrainingCheckpointState(epoch=report.epoch, total_epochs=report.total_epochs)
        writer.keep(Kept(state.to_json(), lambda: pack(snapshot.tensors, snapshot.state)), due=True)

    bare: list[tuple[float, float]] = []
    kept: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):  # a first round is not counted
        for step in ("bare", "kept") if number % 2 else ("kept", "bare"):
            if step == "bare":
                bare.append(stretch(trained, None))
            else:
                kept.append(stretch(trained, keep))
    writer.close()
    epochs = len(kept) * EPOCHS
    rows = asyncio.run(_rows(url))
    recorder.finish(Event.CANCEL, error_message="the benchmark is over")
    recorder.close()
    (floor, floor_cpu), (found, found_cpu) = _undisturbed(bare[1:]), _undisturbed(kept[1:])
    print(
        f"checkpoints: {ROUNDS} rounds of {EPOCHS - 1} epochs, an epoch without {floor * 1e3:.1f} ms, with "
        f"{found * 1e3:.1f} ms, ratio {found / floor:.4f} (limit {LIMIT}), of CPU time "
        f"{found_cpu / floor_cpu:.4f}; {epochs} states handed over, {disk.generations} generations written, "
        f"{rows} recorded"
    )
    return found / floor


def _undisturbed(stretches: list[tuple[float, float]]) -> tuple[float, float]:
    """The lower quartiles: what else the machine does only ever adds, and more than what is measured."""
    wall, cpu = zip(*stretches, strict=True)
    return statistics.quantiles(wall, n=4)[0], statistics.quantiles(cpu, n=4)[0]


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        return 1 if measure(Path(scratch)) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
