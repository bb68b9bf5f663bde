"""The child's side of `ask`: a request on standard input, the answer or the refusal on standard output."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ktrdr.domain.errors import DataProcessFailed, KtrdrError


def answer(compute: Callable[[Mapping[str, Any]], dict[str, Any]], *, memory: int, advice: str) -> int:
    """The process's exit status. `memory` bytes of address space are all it gets; `advice` is what to do
    when these do not suffice."""
    _bound(memory)
    os.umask(0o077)
    try:
        said: dict[str, Any] = {"answer": compute(json.load(sys.stdin))}
    except KtrdrError as refused:
        said = {"error": {"code": refused.code, "message": refused.message, "details": refused.details}}
    except MemoryError:
        message = f"It needs more than {memory // 2**30} GiB of memory. {advice}"
        said = {"error": {"code": DataProcessFailed.code, "message": message, "details": {}}}
    # At once: a library that reads Parquet may abort while its threads end, and the answer stands by then.
    print(json.dumps(said, allow_nan=False), flush=True)
    return 0


def _bound(memory: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    with suppress(ValueError):  # macOS takes no limit on address space
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
