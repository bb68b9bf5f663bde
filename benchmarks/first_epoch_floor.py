"""`python -m benchmarks.first_epoch_floor ID`: the least that a worker must do. Import torch, claim."""

from __future__ import annotations

import asyncio
import socket
import sys

CLAIMED = "claimed"


def main(operation_id: str) -> int:
    import torch  # noqa: F401

    from ktrdr.domain.operations import WORKER_LEASE_SECONDS
    from ktrdr.persistence.unit_of_work import Database
    from ktrdr.settings import Settings
    from ktrdr.workers.executors.local import process_reference

    async def claim() -> bool:
        database = Database(Settings().url)
        async with database.transaction() as tx:
            found = await tx.operations.claim(
                operation_id, socket.gethostname(), process_reference(), WORKER_LEASE_SECONDS
            )
        print(CLAIMED if found else "not claimed", flush=True)
        await database.close()
        return found is not None

    return 0 if asyncio.run(claim()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
