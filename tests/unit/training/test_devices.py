"""Which device a training is on. Only the hardware is made up."""

from __future__ import annotations

import pytest
import torch

from ktrdr.domain.errors import StepFailed
from ktrdr.training.devices import device_of_checkpoint, resolve_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("wanted", "num_gpus", "device"),
    [
        (None, 0.0, "cpu"),
        ("auto", 0.0, "cpu"),
        ("auto", 0.5, "cuda:0"),
        (None, 1.0, "cuda:0"),
        ("cpu", 1.0, "cpu"),
        ("cuda", 0.0, "cuda:0"),
        ("cuda:1", 0.0, "cuda:1"),
    ],
)
def test_a_gpu_is_taken_when_it_was_asked_for_and_never_by_accident(
    wanted: str | None, num_gpus: float, device: str
) -> None:
    assert str(resolve_device(wanted, num_gpus)) == device


@pytest.mark.usefixtures("none")
def test_without_a_gpu_auto_is_the_cpu() -> None:
    """Also for an operation that asked for one: the engine that gave it one knows better than torch."""
    assert str(resolve_device("auto", 1.0)) == "cpu"


@pytest.mark.usefixtures("mac")
def test_apples_gpu_is_one() -> None:
    assert [str(resolve_device("auto", number)) for number in (0.0, 1.0)] == ["cpu", "mps"]
    assert str(resolve_device("mps", 0.0)) == "mps"


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("wanted", ["cuda:2", "mps"])
def test_a_device_that_is_not_there_is_refused_naming_what_is(wanted: str) -> None:
    with pytest.raises(StepFailed, match="cuda:0, cuda:1, cpu only") as refusal:
        resolve_device(wanted, 1.0)
    assert refusal.value.step_code == "DEVICE_MISSING"
    assert wanted in refusal.value.message


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("kept", "wanted", "device"),
    [
        ("cpu", None, "cpu"),
        ("cpu", "cuda:0", "cpu"),  # another kind rounds otherwise: it would not be the same training
        ("cuda:1", None, "cuda:1"),
        ("cuda:1", "cuda:0", "cuda:0"),
        ("cuda:7", "auto", "cuda:0"),
    ],
)
def test_a_checkpoint_goes_on_on_a_device_of_its_own_kind(kept: str, wanted: str | None, device: str) -> None:
    assert str(device_of_checkpoint(kept, wanted)) == device


@pytest.mark.usefixtures("none")
def test_a_checkpoint_whose_kind_of_device_is_gone_is_refused() -> None:
    """Silently on the CPU it would end in other weights than uninterrupted."""
    with pytest.raises(StepFailed, match="'cuda:0', and this machine has cpu only") as refusal:
        device_of_checkpoint("cuda:0", None)
    assert refusal.value.step_code == "DEVICE_MISSING"
