"""One live backend a name: a leased row, so that it holds on both databases and on any host."""

from __future__ import annotations

import asyncio
import logging

from ktrdr.domain.errors import DatabaseUnavailable, RefusedToStart
from ktrdr.persistence.instances import Held
from ktrdr.persistence.unit_of_work import Database
from ktrdr.processes import is_alive, is_stopped, process_reference

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
WATCH_SECONDS = 1.0
MISSED_SECONDS = 2 * RENEW_SECONDS  # a live backend renews within that, also one whose clock was set


class InstanceLock:
    """Taken before reconciliation, renewed while serving, released on a clean stop.

    A name is taken from another holder by what is seen of it and of its process, never by the lease's
    time alone: the database's clock may have been set by an hour.
    """

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self._instance = instance
        self._stop = asyncio.Event()
        self.holder = process_reference()
        self.lost = False

    async def acquire(self) -> None:
        """Raises RefusedToStart while another backend of this name is alive.

        A holder on this host that is dead is succeeded at once. One that can't be asked (another host:
        a container that was replaced), that is stopped, or whose lease has run out, is watched: it
        renews, or it is succeeded. Should it wake up, every row of its sessions is fenced.
        """
        loop = asyncio.get_running_loop()
        seen: Held | None = None
        over: Held | None = None
        since = loop.time()
        while True:
            async with self._database.transaction() as tx:
                other = await tx.instances.acquire(self._instance, self.holder, LEASE_SECONDS, over=over)
            if other is None:
                return
            if seen is None or other.holder != seen.holder:
                seen, since = other, loop.time()
            if other != seen or _serves(other):
                raise self._refusal(other)
            patience = LEASE_SECONDS if other.seconds_left > 0.0 else MISSED_SECONDS
            succeeded = is_alive(other.holder) is False or loop.time() - since >= patience
            over = other if succeeded else None
            if not succeeded:
                await asyncio.sleep(WATCH_SECONDS)

    async def let_others_renew(self) -> None:
        """Wait, when another instance with sessions looks abandoned: its lease may be an hour old since
        the clock was set just now, and a live one renews it soon."""
        async with self._database.read() as tx:
            abandoned = await tx.orphans.abandoned(self._instance)
        if abandoned:
            await asyncio.sleep(MISSED_SECONDS)

    async def keep(self) -> None:
        """Renew until stopped, or until the name is another's: `lost`."""
        while not self._stop.is_set():
            try:
                async with self._database.transaction() as tx:
                    other = await tx.instances.acquire(self._instance, self.holder, LEASE_SECONDS)
            except DatabaseUnavailable:
                other = None  # renewed when the database is back; the fence protects every row meanwhile
            if other is not None:
                log.critical("the name '%s' was taken by %s: this one ends", self._instance, _shown(other))
                self.lost = True
                return
            try:
                await asyncio.wait_for(self._stop.wait(), RENEW_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stop.set()

    async def release(self) -> None:
        try:
            async with self._database.transaction() as tx:
                await tx.instances.release(self._instance, self.holder)
        except DatabaseUnavailable:
            pass  # the lease runs out by itself

    def _refusal(self, other: Held) -> RefusedToStart:
        return RefusedToStart(
            f"A backend named '{self._instance}' is already running ({_shown(other)}). "
            "Stop it, or give this one another KTRDR_INSTANCE."
        )


def _serves(other: Held) -> bool:
    """A process of this host that runs and has renewed its lease: no need to watch it."""
    in_time = 0.0 < other.seconds_left <= LEASE_SECONDS + 1.0
    return in_time and is_alive(other.holder) is True and not is_stopped(other.holder)


def _shown(held: Held) -> str:
    _, host, pid, _ = held.holder.split(":")
    return f"process {pid} on {host}"
