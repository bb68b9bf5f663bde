"""The leak check of a training's own networks, over real HTTP, by a real backend and its child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.backend import Backend
from tests.integration.conftest import BackendFactory
from tests.integration.test_bad_input import refused
from tests.integration.trainings import await_completed, begin, lasting

PATH = "/strategies/leak-check"


@pytest.fixture
def one(sqlite_backend: BackendFactory) -> Backend:
    backend = sqlite_backend()
    backend.start()
    return backend


def test_a_trainings_own_networks_are_asked(one: Backend, tmp_path: Path) -> None:
    """By its id over HTTP, its strategy by the command line; and a model that is damaged is called that."""
    training = begin(one, lasting(3))
    done = await_completed(one, training)
    answer = one.client.post(PATH, json={"training_id": training}, timeout=120.0)
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    assert (found["clean"], found["trained"], found["networks"]) == (True, True, 3)

    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(lasting(3)))
    command = [sys.executable, "-m", "ktrdr.cli", "strategies", "leak-check", str(file)]
    said = subprocess.run(command, env=one.variables(), capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"{file}: no leak. ")

    model = done["result"]["model"]
    (one.home / "artifacts" / model["path"] / "tensors.safetensors").write_bytes(b"damaged")
    answer = one.client.post(PATH, json={"training_id": training}, timeout=120.0)
    refused(answer, 422, "CHECKPOINT_CORRUPTED")
