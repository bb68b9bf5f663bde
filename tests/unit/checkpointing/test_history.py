"""The history of epochs as files: what the worker writes is what the API process reads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import save

from ktrdr.checkpointing.history import history_bytes, history_of_checkpoint, history_of_model
from ktrdr.domain.epochs import networks_of
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.training.fitting import EpochScore
from ktrdr.training.history import History


def history(*validation: float | None) -> History:
    """One network's epochs with these validation losses."""
    made = History(len(validation))
    for number, loss in enumerate(validation, start=1):
        made.add(1, number, EpochScore(1.0 / number, 0.4, loss, None if loss is None else 0.5, 0.001))
    return made


def epoch(network: int, number: int, validation_loss: float | None) -> dict[str, Any]:
    return {"network": network, "epoch": number, "validation_loss": validation_loss}


def test_a_model_gives_back_every_epoch() -> None:
    """A loss that is infinite and one that was not looked at are null: JSON has neither."""
    records = history(0.9, float("inf"), None).records()
    assert [one["validation_loss"] for one in records] == [0.9, None, None]
    assert history_of_model(history_bytes(records)) == records


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_a_checkpoints_tensor_is_read_as_it_was_written(epochs: int) -> None:
    """To the last bit, wherever in the file it lies."""
    made = history(*[1.0 / 3.0] * epochs)
    content = save({"a": torch.ones(3), "history": made.table(), "z": torch.arange(5)})
    assert history_of_checkpoint(content) == made.records()


def test_a_checkpoint_without_a_history_has_none() -> None:
    assert history_of_checkpoint(save({"network.0.weight": torch.ones(2, 2)})) == []


@pytest.mark.parametrize("table", [torch.ones(2, 6, dtype=torch.float64), torch.ones(2, 7)])
def test_a_table_of_another_ktrdr_is_refused_and_not_misread(table: torch.Tensor) -> None:
    with pytest.raises(CheckpointCorrupted, match="does not read"):
        history_of_checkpoint(save({"history": table}))


def test_the_reader_imports_nothing_numeric() -> None:
    """It runs in the API process, which is to start at once and stay small."""
    code = "import sys, ktrdr.checkpointing.history; print({'numpy', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_each_network_has_its_fold_its_member_and_its_best_epoch() -> None:
    """The first epoch with the lowest loss; None where nothing was watched, or all of it was infinite."""
    told = [
        epoch(1, 1, 0.5), epoch(1, 2, 0.4), epoch(1, 3, 0.4),
        epoch(2, 1, None),
        epoch(3, 1, None), epoch(3, 2, 0.7),
    ]  # fmt: skip
    found = networks_of(told, ["fold 1", "final"], 2)
    assert [(one["fold"], one["member"], one["epochs_run"], one["best_epoch"]) for one in found] == [
        ("fold 1", 0, 3, 2),
        ("fold 1", 1, 1, None),
        ("final", 0, 2, 2),
    ]
