"""A training that is interrupted again and again, each time in another way, and resumed over HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.backend import Backend, eventually
from tests.integration.trainings import (
    await_checkpoint,
    await_completed,
    begin,
    epoch_of,
    is_gone,
    lasting,
    said_by,
    worker_of,
)

WAYS = ("cancel", "SIGTERM", "SIGKILL")


def dropping(epochs: int) -> dict[str, Any]:
    """A training whose every batch draws dropout, so that a generator restored wrongly shows."""
    layers = {"hidden_layers": [32, 16], "activation": "relu", "dropout": 0.3}
    return {**lasting(epochs), "model": {"type": "mlp", "architecture": layers}}


@dataclass(frozen=True)
class Point:
    """How and when an attempt is interrupted: seconds after its claim, or after its first epoch."""

    way: str
    in_start: bool
    seconds: float


def points(count: int, seed: int) -> list[Point]:
    """Every way equally often, in any order; one in four while the worker still starts."""
    chosen = random.Random(seed)
    ways = [WAYS[number % len(WAYS)] for number in range(count)]
    chosen.shuffle(ways)
    drawn = [Point(way, chosen.random() < 0.25, chosen.uniform(0.0, 1.0)) for way in ways]
    return [Point(drawn[0].way, False, drawn[0].seconds), *drawn[1:]]  # a resume needs a first checkpoint


def uninterrupted(backend: Backend, strategy: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of the training that nothing stops."""
    return comparable(await_completed(backend, begin(backend, strategy)))


def interrupted(backend: Backend, strategy: Mapping[str, Any], at: list[Point]) -> Mapping[str, Any]:
    """The result of the same training, interrupted at every point."""
    training = begin(backend, strategy)
    await_checkpoint(backend, training)
    for attempt, point in enumerate(at, start=1):
        reached = _reach(backend, training, attempt, point)
        _interrupt(backend, training, point.way)
        answer = backend.resume(training)
        assert answer.status_code == 200, f"{point} at {reached}: {answer.text}"
    done = await_completed(backend, training)
    assert done["attempt"] == len(at) + 1
    return comparable(done)


def comparable(done: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result without the place of its files: weights, metrics, and whatever else is in it."""
    result = dict(done["result"])
    files = result.pop("model")["files"]
    assert "weights_sha256" in result
    return {**result, "files": files}


def _reach(backend: Backend, training: str, attempt: int, point: Point) -> Mapping[str, Any]:
    """Wait for the point; the operation as it was last seen."""
    before = epoch_of(backend.operation(training)) if attempt > 1 else 0

    def look() -> Mapping[str, Any] | None:
        found = backend.operation(training)
        assert found["status"] in ("PENDING", "RUNNING"), f"{point} came too late: {found['status']}"
        running = found["status"] == "RUNNING" and found["attempt"] == attempt
        return found if running and (point.in_start or epoch_of(found) > before) else None

    reached = eventually(look, within=60.0, what=f"{point} of {training}; {said_by(backend, training)}")
    due = time.monotonic() + point.seconds
    eventually(lambda: time.monotonic() >= due, within=point.seconds + 5.0, what="the point's second")
    return reached


def _interrupt(backend: Backend, training: str, way: str) -> None:
    """Stop the attempt and wait until the row says so and the process is gone."""
    running = backend.operation(training)["status"]
    assert running == "RUNNING", f"the {way} came too late: {running}"
    worker = worker_of(backend, training)
    if way == "cancel":
        assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    elif way == "SIGTERM":
        worker.terminate()
    else:
        worker.kill()
    ended = "FAILED" if way == "SIGKILL" else "CANCELLED"
    stopped = backend.await_status(training, ended, within=25.0)
    eventually(lambda: is_gone(worker), within=25.0, what="the worker's exit")
    if way != "SIGKILL":
        kinds = {"cancel": "cancellation", "SIGTERM": "shutdown"}
        assert stopped["checkpoint"]["checkpoint_type"] == kinds[way]
        assert stopped["checkpoint"]["epoch"] == epoch_of(stopped), "nothing that was computed is lost"
