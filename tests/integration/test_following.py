"""Events and logs come from rows and files: a restart of the backend loses none of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.integration.trainings import ENDLESS, begin


@dataclass(frozen=True)
class Seen:
    """One event as it was received."""

    revision: int
    name: str
    data: dict[str, Any]


def events(backend: Backend, operation_id: str, last: int | None = None) -> Generator[Seen]:
    """What GET /operations/{id}/events sends."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    path = f"/operations/{operation_id}/events"
    with backend.client.stream("GET", path, headers=headers, timeout=60.0) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                yield Seen(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}


def test_the_events_of_an_operation_end_with_it(backend: Backend) -> None:
    """Present state first, then status and progress while it runs, then the end."""
    operation_id = begin(backend, SMALL)
    seen = list(events(backend, operation_id))
    assert {one.name for one in seen[:-1]} == {"status", "progress"}
    assert (seen[-1].name, seen[-1].data) == ("end", {"status": "COMPLETED"})
    revisions = [one.revision for one in seen]
    assert revisions == sorted(revisions)
    epochs = [one.data["progress"]["detail"]["epoch"] for one in seen if "epoch" in _detail(one)]
    assert epochs == sorted(epochs)
    assert epochs


def _detail(one: Seen) -> dict[str, Any]:
    found: dict[str, Any] = one.data.get("progress", {}).get("detail", {})
    return found


def test_a_client_that_was_away_is_told_what_it_missed(backend: Backend) -> None:
    """The worker dies, the backend is killed and restarted, the training resumed: each is told, in order."""
    operation_id = begin(backend, ENDLESS)
    last = next(one for one in events(backend, operation_id) if one.data["status"] == "RUNNING")
    eventually(
        lambda: backend.operation(operation_id)["checkpoint"], within=30.0, what="a checkpoint to resume from"
    )
    for worker in workers_of(backend.home):
        worker.send_signal(signal.SIGKILL)
    backend.await_status(operation_id, "FAILED", within=10.0)
    backend.kill()
    backend.start()
    assert backend.resume(operation_id).status_code == 200
    backend.await_status(operation_id, "RUNNING")

    missed = []
    for one in events(backend, operation_id, last.revision):
        missed.append((one.data["status"], one.data["attempt"]))
        assert one.revision > last.revision
        if missed[-1] == ("RUNNING", 2):
            break
    told = [one for number, one in enumerate(missed) if one not in missed[:number]]
    assert told == [("FAILED", 1), ("PENDING", 1), ("RUNNING", 2)]


def test_a_session_tells_every_phase(sqlite_backend: BackendFactory) -> None:
    """Whoever asks from the beginning is told each phase, also those that are over."""
    backend = sqlite_backend(**OPEN_GATES)
    backend.start()
    operation_id, _ = backend.trigger(seed=1, strategy=SMALL)
    backend.await_status(operation_id, "COMPLETED")
    seen = list(events(backend, operation_id, 0))
    phases = [
        one.data["progress"]["message"].removesuffix(" begins")
        for one in seen
        if one.name == "status" and one.data["progress"]["message"].endswith(" begins")
    ]
    assert [*dict.fromkeys(phases)] == ["TRAINING", "BACKTESTING", "ASSESSING"]
    assert [one.data["status"] for one in seen][-2:] == ["COMPLETED", "COMPLETED"]
    assert [one.name for one in events(backend, operation_id, seen[-1].revision)] == ["end"]


@pytest.mark.parametrize("last", ["abc", "-1", "1.5"])
def test_a_last_event_id_that_is_none_is_refused(sqlite_backend: BackendFactory, last: str) -> None:
    backend = sqlite_backend()
    backend.start()
    operation_id = begin(backend, SMALL)
    answer = backend.client.get(f"/operations/{operation_id}/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_a_follower_does_not_hold_up_a_stop(sqlite_backend: BackendFactory) -> None:
    """SIGTERM ends the stream first; the sessions' shutdown checkpoints are not kept waiting by it."""
    backend = sqlite_backend()
    backend.start()
    operation_id, _ = backend.trigger(seed=1, strategy=ENDLESS)
    backend.await_phase("TRAINING")
    stream = events(backend, operation_id)
    next(stream)
    assert backend.process is not None
    backend.process.send_signal(signal.SIGTERM)
    assert backend.process.wait(timeout=8.0) in (0, -signal.SIGTERM)
    stream.close()
    backend.start()
    assert backend.operation(operation_id)["checkpoint"]["checkpoint_type"] == "shutdown"


def test_the_log_of_a_worker_is_served(sqlite_backend: BackendFactory) -> None:
    """What a worker wrote is there after it ended, also from a backend that did not start it."""
    backend = sqlite_backend()
    backend.start()
    (backend.home / "artifacts").write_text("in the way")
    operation_id = begin(backend, SMALL)
    failed = backend.await_status(operation_id, "FAILED")
    assert failed["error_code"] == "STORAGE_FAILED"
    backend.kill()
    backend.start()
    answer = backend.client.get(f"/operations/{operation_id}/log")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert failed["error_details"]["log"].strip().splitlines()[-1] in answer.text
    short = backend.client.get(f"/operations/{operation_id}/log", params={"last_bytes": 100})
    assert len(short.text) <= 100


def test_a_session_has_no_worker_log(sqlite_backend: BackendFactory) -> None:
    backend = sqlite_backend()
    backend.start()
    operation_id, _ = backend.trigger(seed=1, strategy=SMALL)
    answer = backend.client.get(f"/operations/{operation_id}/log")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "LOG_NOT_FOUND")
