"""What a training keeps when it is stopped, killed or fails; a resume makes the same networks of it."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from typing import Any

from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.interruptions import dropping, interrupted, points, uninterrupted
from tests.integration.trainings import (
    STEADY,
    await_completed,
    await_epoch,
    begin,
    epoch_of,
    is_gone,
    lasting,
    worker_of,
)

EVERY = 5
# Twenty epochs of some tenths of a second: five of them take longer than the second between two rows.
LONG_EPOCHS: dict[str, Any] = lasting(10)
LONG_EPOCHS["model"] = {
    "type": "mlp",
    "architecture": {"hidden_layers": [768, 768], "activation": "relu", "dropout": 0.2},
}
LONG_EPOCHS["training"] |= {"batch_size": 8, "walk_forward": {"folds": 1, "initial_fraction": 0.5}}


def stopped_after(backend: Backend, training: str, epoch: int, way: str) -> Mapping[str, Any]:
    """The operation as it ends when it is stopped behind that epoch."""
    await_epoch(backend, training, after=epoch)
    worker = worker_of(backend, training)
    if way == "cancel":
        assert backend.client.post(f"/operations/{training}/cancel").status_code == 202
    else:
        worker.send_signal(signal.Signals[way])
    ended = backend.await_status(training, "FAILED" if way == "SIGKILL" else "CANCELLED", within=25.0)
    eventually(lambda: is_gone(worker), within=25.0, what="the worker's exit")
    return ended


def test_a_checkpoint_every_five_epochs(sqlite_backend: BackendFactory) -> None:
    """A kill costs at most the five epochs; a stop costs none; the weights are those of any other policy."""
    plain = sqlite_backend("plain")
    plain.start()
    wanted = await_completed(plain, begin(plain, LONG_EPOCHS))["result"]["weights_sha256"]
    plain.close()

    backend = sqlite_backend("every five", KTRDR_CHECKPOINT_EPOCHS=str(EVERY))
    backend.start()
    training = begin(backend, LONG_EPOCHS)
    killed = stopped_after(backend, training, 6, "SIGKILL")
    assert killed["checkpoint"]["checkpoint_type"] == "periodic"
    assert killed["checkpoint"]["epoch"] % EVERY == 0
    assert epoch_of(killed) - killed["checkpoint"]["epoch"] <= EVERY
    for epoch, way, kind in ((11, "cancel", "cancellation"), (14, "SIGTERM", "shutdown")):
        assert backend.resume(training).status_code == 200
        stopped = stopped_after(backend, training, epoch, way)
        assert stopped["checkpoint"]["checkpoint_type"] == kind
        assert stopped["checkpoint"]["epoch"] == epoch_of(stopped) > epoch
    assert backend.resume(training).status_code == 200
    done = await_completed(backend, training)
    assert done["attempt"] == 4
    assert done["result"]["weights_sha256"] == wanted


def test_a_result_that_finds_no_disk_is_not_computed_again(
    sqlite_backend: BackendFactory, whole_weights: str
) -> None:
    """The model can't be written: FAILED, with a `failure` checkpoint of the last epoch, due or not."""
    backend = sqlite_backend(KTRDR_CHECKPOINT_EPOCHS="10000")
    backend.start()
    training = begin(backend, STEADY)
    in_the_way = backend.home / "artifacts" / f"{training}.model"
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_bytes(b"not a directory")
    failed = backend.await_status(training, "FAILED")
    assert failed["error_code"] == "STORAGE_FAILED"
    assert failed["checkpoint"]["checkpoint_type"] == "failure"
    assert failed["checkpoint"]["epoch"] == failed["progress"]["detail"]["total_epochs"]
    shown = backend.get(f"/checkpoints/{training}")
    assert (shown["integrity"], shown["resumable"]) == ("intact", True)
    (generation,) = (backend.home / "artifacts" / training).iterdir()
    written = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in generation.iterdir()}
    assert {name: one["sha256"] for name, one in shown["artifacts"].items()} == written
    in_the_way.unlink()
    assert backend.resume(training).status_code == 200
    done = await_completed(backend, training)
    assert done["result"]["weights_sha256"] == whole_weights


def test_four_interruptions_change_nothing(sqlite_backend: BackendFactory) -> None:
    """The short form of the twenty of tests/kills/test_training_interruptions.py."""
    backend = sqlite_backend(KTRDR_WORKER_SLOTS="2")
    backend.start()
    strategy = dropping(400)
    assert interrupted(backend, strategy, points(4, seed=1)) == uninterrupted(backend, strategy)
