"""The per-epoch history of a training, in its model and in its checkpoints.

The API process reads both, and it imports nothing numeric: the table of a checkpoint, a tensor, is
read from its file by hand.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from ktrdr.domain.epochs import COLUMNS, epoch_record
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.fingerprints import canonical_json

HISTORY = "history.json"
TENSOR = "history"
HEADER_LENGTH = struct.Struct("<Q")


def history_bytes(history: Sequence[Mapping[str, Any]]) -> bytes:
    """The file `HISTORY`."""
    return canonical_json(history).encode()


def history_of_model(content: bytes) -> list[dict[str, Any]]:
    """What `history_bytes` was given."""
    found: list[dict[str, Any]] = json.loads(content)
    return found


def history_of_checkpoint(content: bytes) -> list[dict[str, Any]]:
    """The same from a safetensors file with the tensor `TENSOR`, (m, 7) float64; empty without it.

    The format: the header's length in 8 bytes, little-endian; the header, JSON with type, shape and
    offsets of each tensor; then the numbers, little-endian, row by row.
    """
    begin = HEADER_LENGTH.size + HEADER_LENGTH.unpack_from(content)[0]
    entry = json.loads(content[HEADER_LENGTH.size : begin]).get(TENSOR)
    if entry is None:
        return []
    if entry["dtype"] != "F64" or entry["shape"][1:] != [len(COLUMNS)]:
        raise CheckpointCorrupted(
            f"The checkpoint's history is {entry['dtype']} of shape {entry['shape']}, which this ktrdr does "
            "not read. Resume it with the ktrdr that wrote it."
        )
    first, last = entry["data_offsets"]
    numbers = array("d", content[begin + first : begin + last])
    if sys.byteorder == "big":
        numbers.byteswap()
    width = len(COLUMNS)
    return [epoch_record(numbers[at : at + width]) for at in range(0, len(numbers), width)]
