"""`python -m benchmarks.first_epoch_floor URL ID`: the least that a worker must do. Import torch, claim."""

from __future__ import annotations

import asyncio
import sys

CLAIMED = "claimed"
LEASE_SECONDS = 30.0


def main(url: str, operation_id: str) -> int:
    import torch  # noqa: F401

    from ktrdr.persistence.unit_of_work import Database

    async def claim() -> bool:
        database = Database(url)
        async with database.transaction() as tx:
            found = await tx.operations.claim(operation_id, "floor", None, LEASE_SECONDS)
        print(CLAIMED if found else "not claimed", flush=True)
        await database.close()
        return found is not None

    return 0 if asyncio.run(claim()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
