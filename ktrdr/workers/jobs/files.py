"""Tensors and JSON as bytes: safetensors, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save

from ktrdr.domain.fingerprints import canonical_json

TENSORS = "tensors.safetensors"
STATE = "state.json"


def pack(tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> dict[str, bytes]:
    """The two files of a model or of a training checkpoint."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return {TENSORS: save(contiguous), STATE: canonical_json(state).encode()}


def unpack(files: Mapping[str, bytes]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `pack` was given."""
    return load(files[TENSORS]), json.loads(files[STATE])
