"""`python -m tests.kills.writer URL ID SECONDS`: a worker as the database sees it, ten writes a second.

Prints one JSON object: how many beats were written, the slowest in milliseconds, and every failure.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time

from ktrdr.domain.errors import DatabaseUnavailable
from ktrdr.domain.operations import WORKER_LEASE_SECONDS, NewOperation, OperationType, Progress
from ktrdr.persistence.unit_of_work import Database
from ktrdr.processes import process_reference

BEAT_SECONDS = 0.1


async def write(url: str, operation_id: str, seconds: float) -> dict[str, object]:
    database = Database(url)
    new = NewOperation(operation_id, OperationType.TRAINING, {"dataset": "nasdaq"})
    async with database.transaction() as tx:  # created and claimed in one, or a dispatcher would submit it
        await tx.operations.insert_if_absent(new)
        claimed = await tx.operations.claim(
            operation_id, socket.gethostname(), process_reference(), WORKER_LEASE_SECONDS
        )
    assert claimed is not None
    print("writing", flush=True)
    times: list[float] = []
    failures: list[str] = []
    begun = time.monotonic()
    for number in range(round(seconds / BEAT_SECONDS)):
        await asyncio.sleep(max(0.0, begun + number * BEAT_SECONDS - time.monotonic()))
        progress = Progress(number % 100, f"beat {number}", {"epoch": number, "loss": 1.0 / (number + 1)})
        asked = time.perf_counter()
        try:
            async with database.transaction() as tx:
                beat = await tx.operations.heartbeat(
                    operation_id, claimed.attempt, progress, WORKER_LEASE_SECONDS
                )
            if beat is None:
                failures.append("fenced")
        except DatabaseUnavailable as error:
            failures.append(error.message)
        times.append(time.perf_counter() - asked)
    await database.close()
    return {"beats": len(times), "slowest_ms": 1e3 * max(times), "failures": failures}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(write(sys.argv[1], sys.argv[2], float(sys.argv[3])))))
