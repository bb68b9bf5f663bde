"""One live backend a name: a leased row, so that it holds on both databases and on any host."""

from __future__ import annotations

import asyncio

from ktrdr.domain.errors import DatabaseUnavailable, RefusedToStart
from ktrdr.persistence.unit_of_work import Database
from ktrdr.processes import is_alive, process_reference

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0


class InstanceLock:
    """Taken before reconciliation, renewed while serving, released on a clean stop."""

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self._instance = instance
        self._holder = process_reference()
        self._stop = asyncio.Event()

    async def acquire(self) -> None:
        """Raises RefusedToStart while another backend of this name is alive.

        A holder on this host that is dead is succeeded at once; one on another host (a container
        that was replaced) when its lease has run out.
        """
        deadline = asyncio.get_running_loop().time() + LEASE_SECONDS + RENEW_SECONDS
        while True:
            async with self._database.transaction() as tx:
                other = await tx.instances.acquire(self._instance, self._holder, LEASE_SECONDS)
                if other is not None and is_alive(other) is False:
                    await tx.instances.release(self._instance, other)
                    other = await tx.instances.acquire(self._instance, self._holder, LEASE_SECONDS)
            if other is None:
                return
            alive_here = is_alive(other) is True
            if alive_here or asyncio.get_running_loop().time() > deadline:
                _, host, pid, _ = other.split(":")
                raise RefusedToStart(
                    f"A backend named '{self._instance}' is already running (process {pid} on {host}). "
                    "Stop it, or give this one another KTRDR_INSTANCE."
                )
            await asyncio.sleep(1.0)

    async def keep(self) -> None:
        """Renew until stopped."""
        while not self._stop.is_set():
            try:
                async with self._database.transaction() as tx:
                    await tx.instances.renew(self._instance, self._holder, LEASE_SECONDS)
            except DatabaseUnavailable:
                pass  # renewed when the database is back; the fence protects every row meanwhile
            try:
                await asyncio.wait_for(self._stop.wait(), RENEW_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stop.set()

    async def release(self) -> None:
        try:
            async with self._database.transaction() as tx:
                await tx.instances.release(self._instance, self._holder)
        except DatabaseUnavailable:
            pass  # the lease runs out by itself
