"""Reading strangers' files in a process of its own: bounded memory, no secrets, nothing numeric here."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ktrdr.domain.errors import DataProcessFailed, error_of

COMMAND = (sys.executable, "-m", "ktrdr.data")
TIMEOUT_SECONDS = 1800.0
SHOWN_LINES = 5
# No provider key, no token: what Python needs to start, and what a download needs to reach the network.
ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "SYSTEMROOT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)
# Address space is what is limited: an allocator that reserves it in advance, and a stack for each thread
# that is never used, would count as if they were data.
BOUNDED = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


async def ask(
    job: str,
    root: Path | None,
    request: Mapping[str, Any],
    *,
    command: Sequence[str] = COMMAND,
    timeout: float = TIMEOUT_SECONDS,
    doing: str = "Reading the data",
) -> dict[str, Any]:
    """The answer to one job (`import`, `check`, `download`, `summary`) on the catalogue at `root`, or to one
    of another `command` that speaks as `ktrdr.data.answering` does; `doing` is what its failure is called.

    The child never outlives the call, also when this task is cancelled. Raises what the child refused
    with, and DataProcessFailed when it ends without an answer or takes longer than `timeout` seconds.
    """
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= BOUNDED
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command,
        job,
        "" if root is None else str(root),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=environment,
    )
    try:
        async with asyncio.timeout(timeout):
            answer, errors = await child.communicate(json.dumps(request).encode())
    except TimeoutError as late:
        raise DataProcessFailed(f"{doing} took longer than {timeout:g} s; it was stopped.") from late
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        said = json.loads(answer)
        error = said.get("error")
        found = error_of(error["code"], error["message"], error["details"]) if error else None
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        raise DataProcessFailed(
            f"{doing} ended with {child.returncode} and no answer: {_last(errors)}. Nothing was changed."
        ) from wrong
    if found is not None:
        raise found
    return dict(said["answer"])


def _last(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-SHOWN_LINES:]) or "it said nothing"
