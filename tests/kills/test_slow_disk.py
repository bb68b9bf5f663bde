"""A disk on which a checkpoint takes seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.trainings import ENDLESS, begun, epoch_of, worker_of
from tests.kills.preload import Preloaded

MILLISECONDS = 1500  # a generation is four fsyncs, or more
GRACE_SECONDS = 25.0


@pytest.fixture
def disk(tmp_path: Path) -> Preloaded:
    """Slow by milliseconds."""
    return Preloaded(tmp_path / "disk", "slow_disk.c")


def epochs_in(backend: Backend, training: str, seconds: float) -> int:
    """How many more epochs are done after so many seconds."""
    before, since = epoch_of(backend.operation(training)), time.monotonic()
    eventually(lambda: time.monotonic() - since > seconds, within=seconds + 5.0, what="the time")
    return epoch_of(backend.operation(training)) - before


@pytest.mark.timeout(300)
def test_the_training_is_not_slowed_and_a_cancel_saves_its_last_state(
    sqlite_backend: BackendFactory, disk: Preloaded
) -> None:
    """States are skipped, not heaped up; the last one is written within the grace of a cancel."""
    backend = sqlite_backend(PYTHONPATH=disk.python_path)
    backend.start()
    training = begun(backend, ENDLESS)
    fast = epochs_in(backend, training, 5.0)
    held = worker_of(backend, training).memory_info().rss
    disk.set(MILLISECONDS)
    sequence = backend.operation(training)["checkpoint"]["sequence"]
    slow = epochs_in(backend, training, 15.0) / 3.0
    written = backend.operation(training)["checkpoint"]["sequence"] - sequence
    assert written <= 4, "the disk was not slow: this shows nothing"
    assert slow > 0.5 * fast, f"{slow:.0f} epochs in 5 s instead of {fast}"
    assert worker_of(backend, training).memory_info().rss - held < 50e6
    asked = time.monotonic()
    assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    stopped = backend.await_status(training, "CANCELLED", within=GRACE_SECONDS)
    assert time.monotonic() - asked > MILLISECONDS / 1000.0
    assert stopped["checkpoint"]["checkpoint_type"] == "cancellation"
    assert stopped["checkpoint"]["epoch"] == epoch_of(stopped) > 0
    disk.set(0)
    assert backend.get(f"/checkpoints/{training}")["integrity"] == "intact"
