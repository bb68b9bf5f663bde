"""Where the numbers of a training are computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ktrdr.domain.errors import StepFailed

CPU = torch.device("cpu")


def resolve_device(wanted: str | None, num_gpus: float) -> torch.device:
    """The device of a new training.

    None and `auto` take a GPU only when the operation asked for one and one is there: of a machine that
    is shared nobody takes a GPU by accident. A device that is named is used whoever asked for what.
    Raises StepFailed when it is not there.
    """
    there = available_devices()
    if wanted in (None, "auto"):
        return torch.device(there[0]) if num_gpus > 0 else CPU
    device = torch.device(str(wanted))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda:0")
    if str(device) not in there:
        raise _missing(f"training.device is '{wanted}'", there, "Name one of them, or auto")
    return device


def device_of_checkpoint(kept: str, wanted: str | None) -> torch.device:
    """The device on which a checkpoint goes on: one of its own kind, since another kind rounds otherwise.

    Which of several GPUs is the strategy's choice. Raises StepFailed when there is none of its kind.
    """
    there = available_devices()
    same = [one for one in there if torch.device(one).type == torch.device(kept).type]
    if not same:
        advice = "Resume it where there is one, or start it anew with device cpu"
        raise _missing(f"The checkpoint is of a training on '{kept}'", there, advice)
    return torch.device(next((one for one in (wanted, kept) if one in same), same[0]))


def available_devices() -> tuple[str, ...]:
    """What there is, the fastest first."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return (*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def _missing(what: str, there: Sequence[str], advice: str) -> StepFailed:
    return StepFailed("DEVICE_MISSING", f"{what}, and this machine has {', '.join(there)} only. {advice}.")
