"""The offline designer in a process of its own, so that this one never imports optuna."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ktrdr.agents.designers.proposals import Design, DesignRequest
from ktrdr.domain.errors import StepFailed

COMMAND = (sys.executable, "-m", "ktrdr.agents.designers")
TIMEOUT_SECONDS = 120.0
SHOWN_LINES = 5
# No provider key, no token: only what a Python process needs to start.
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


async def design(
    request: DesignRequest,
    *,
    data: Path | None = None,
    command: Sequence[str] = COMMAND,
    timeout: float = TIMEOUT_SECONDS,
) -> Design:
    """Ask the designer; `data` is the folder of imported data sets.

    The child never outlives the call, also when this task is cancelled. Raises StepFailed
    (DESIGN_FAILED) with the child's last words when it fails, answers something that is no design, or
    takes longer than `timeout` seconds.
    """
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipe = asyncio.subprocess.PIPE
    folder = [] if data is None else [str(data)]
    child = await asyncio.create_subprocess_exec(
        *command, *folder, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )
    question = json.dumps(request.to_json(), allow_nan=False).encode()
    try:
        async with asyncio.timeout(timeout):
            answer, errors = await child.communicate(question)
    except TimeoutError as late:
        raise StepFailed("DESIGN_FAILED", f"the designer took longer than {timeout:g} s") from late
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise StepFailed("DESIGN_FAILED", f"the designer exited with {child.returncode}: {_last(errors)}")
    try:
        return Design.from_json(json.loads(answer))
    except (ValueError, TypeError) as wrong:
        raise StepFailed("DESIGN_FAILED", f"the designer's answer is no design: {wrong}") from wrong


def _last(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-SHOWN_LINES:]) or "it said nothing"
