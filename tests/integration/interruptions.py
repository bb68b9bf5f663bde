"""An operation that is interrupted again and again, each time in another way, and resumed over HTTP."""

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
    count_of,
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
    """How and when an attempt is interrupted: seconds after its claim, or after its first progress."""

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
    return comparable(resumed_after(backend, begin(backend, strategy), at, "epoch"))


def resumed_after(backend: Backend, operation_id: str, at: list[Point], unit: str) -> Mapping[str, Any]:
    """An operation that was interrupted at every point, once it is COMPLETED. It counts in `unit`s."""
    await_checkpoint(backend, operation_id)
    for attempt, point in enumerate(at, start=1):
        reached = _reach(backend, operation_id, attempt, point, unit)
        _interrupt(backend, operation_id, point.way, unit)
        answer = backend.resume(operation_id)
        assert answer.status_code == 200, f"{point} at {reached}: {answer.text}"
    done = await_completed(backend, operation_id)
    assert done["attempt"] == len(at) + 1
    return done


def comparable(done: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result without the place of its files: weights, metrics, and whatever else is in it."""
    result = dict(done["result"])
    files = result.pop("model")["files"]
    assert "weights_sha256" in result
    return {**result, "files": files}


def _reach(backend: Backend, operation_id: str, attempt: int, point: Point, unit: str) -> Mapping[str, Any]:
    """Wait for the point; the operation as it was last seen."""
    before = count_of(backend.operation(operation_id), unit) if attempt > 1 else 0

    def look() -> Mapping[str, Any] | None:
        found = backend.operation(operation_id)
        assert found["status"] in ("PENDING", "RUNNING"), f"{point} came too late: {found['status']}"
        running = found["status"] == "RUNNING" and found["attempt"] == attempt
        return found if running and (point.in_start or count_of(found, unit) > before) else None

    reached = eventually(
        look, within=60.0, what=f"{point} of {operation_id}; {said_by(backend, operation_id)}"
    )
    due = time.monotonic() + point.seconds
    eventually(lambda: time.monotonic() >= due, within=point.seconds + 5.0, what="the point's second")
    return reached


def _interrupt(backend: Backend, operation_id: str, way: str, unit: str) -> None:
    """Stop the attempt and wait until the row says so and the process is gone."""
    running = backend.operation(operation_id)["status"]
    assert running == "RUNNING", f"the {way} came too late: {running}"
    worker = worker_of(backend, operation_id)
    if way == "cancel":
        assert backend.client.post(f"/operations/{operation_id}/cancel").status_code == 202
    elif way == "SIGTERM":
        worker.terminate()
    else:
        worker.kill()
    ended = "FAILED" if way == "SIGKILL" else "CANCELLED"
    stopped = backend.await_status(operation_id, ended, within=25.0)
    eventually(lambda: is_gone(worker), within=25.0, what="the worker's exit")
    if way != "SIGKILL":
        kinds = {"cancel": "cancellation", "SIGTERM": "shutdown"}
        assert stopped["checkpoint"]["checkpoint_type"] == kinds[way]
        assert stopped["checkpoint"][unit] == count_of(stopped, unit), "nothing that was computed is lost"
