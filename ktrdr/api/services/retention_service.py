"""Cleanup: old checkpoints go, and files that no row points at; never what waits or runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ktrdr.checkpointing.folders import Folder, list_folders, remove, size_of
from ktrdr.checkpointing.retention import is_expired, unreferenced
from ktrdr.checkpointing.schemas import Manifest
from ktrdr.persistence.retention import Kept
from ktrdr.persistence.unit_of_work import Database

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3_600.0
MAX_FAMILIES = 500  # of one sweep, so that none takes long
MAX_FOLDERS = 1_000


@dataclass(frozen=True)
class Cleanup:
    """What one sweep freed, or would have freed; `more`: it left something for the next one."""

    at: float
    older_than_days: float
    dry_run: bool
    deleted: tuple[str, ...]  # operations that have no checkpoint any more
    orphans: tuple[str, ...]  # folders that no row pointed at
    freed_bytes: int
    more: bool


@dataclass(frozen=True)
class Usage:
    """How many folders, and the bytes of their files."""

    folders: int
    bytes: int


@dataclass(frozen=True)
class Statistics:
    """What is kept, and what the next sweep would take."""

    kept: Kept
    expired: int
    checkpoints: Usage
    results: Usage
    orphaned: Usage
    other: Usage  # in the writing, or of operations that another database knows
    checkpoint_days: float
    orphan_hours: float
    last_cleanup: Cleanup | None


@dataclass
class _Sweep:
    """What a sweep has found so far."""

    deleted: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    more: bool = False


class RetentionService:
    """Use cases of retention. `clock` is compared with the times of folders, never with those of rows."""

    def __init__(
        self,
        database: Database,
        artifacts: Path,
        *,
        checkpoint_days: float,
        orphan_hours: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._checkpoint_days = checkpoint_days
        self._orphan_hours = orphan_hours
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._last: Cleanup | None = None

    async def clean_up(
        self,
        older_than_days: float | None = None,
        *,
        dry_run: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Cleanup:
        """Delete what has had its time, or with `dry_run` only say what that is."""
        days = self._checkpoint_days if older_than_days is None else older_than_days
        sweep = _Sweep()
        async with self._one_at_a_time:
            async with self._database.read() as tx:
                at = await tx.retention.now()
            await self._expire(sweep, days * DAY_SECONDS, dry_run, stopping)
            await self._sweep_orphans(sweep, dry_run, stopping)
            done = Cleanup(
                at,
                days,
                dry_run,
                tuple(sweep.deleted),
                tuple(sweep.orphans),
                sweep.freed_bytes,
                sweep.more,
            )
            if not dry_run:
                self._last = done
        if not dry_run and (done.deleted or done.orphans):
            log.info(
                "cleanup: %d checkpoints, %d orphaned folders, %d bytes freed",
                len(done.deleted),
                len(done.orphans),
                done.freed_bytes,
            )
        return done

    async def statistics(self) -> Statistics:
        """Counts and sizes; nothing is changed."""
        folders = await asyncio.to_thread(list_folders, self._artifacts)
        orphaned = {one.path for one in await self._orphans(folders)}
        async with self._database.read() as tx:
            kept = await tx.retention.kept()
            expired = await tx.retention.expired(self._checkpoint_days * DAY_SECONDS, MAX_FAMILIES)
            checkpoints = await tx.retention.checkpoint_paths()
            results = await tx.retention.result_paths()
        paths = [one.path for one in folders]
        rest = [one for one in paths if not any(one in known for known in (orphaned, checkpoints, results))]
        return Statistics(
            kept=kept,
            expired=len(expired),
            checkpoints=await self._usage(one for one in paths if one in checkpoints),
            results=await self._usage(one for one in paths if one in results),
            orphaned=await self._usage(one for one in paths if one in orphaned),
            other=await self._usage(rest),
            checkpoint_days=self._checkpoint_days,
            orphan_hours=self._orphan_hours,
            last_cleanup=self._last,
        )

    async def _expire(
        self, sweep: _Sweep, seconds: float, dry_run: bool, stopping: Callable[[], bool]
    ) -> None:
        async with self._database.read() as tx:
            roots = await tx.retention.expired(seconds, MAX_FAMILIES + 1)
        sweep.more = len(roots) > MAX_FAMILIES
        for root in roots[:MAX_FAMILIES]:
            if stopping():
                return
            gone = await self._expire_family(root, seconds, dry_run)
            sweep.deleted += gone
            for files in gone.values():  # the rows are gone: what a kill leaves here is an orphan
                if files is not None:
                    sweep.freed_bytes += await self._freed(files.path, dry_run)

    async def _expire_family(self, root: str, seconds: float, dry_run: bool) -> dict[str, Manifest | None]:
        """Delete the rows of a family's checkpoints; their ids, and where their files are.

        Its operations are locked and looked at again: one that is resumed at this moment is either seen
        here, or finds no checkpoint and is refused.
        """
        async with self._database.read() if dry_run else self._database.transaction() as tx:
            ids = await tx.retention.family(root)
            look = tx.operations.get if dry_run else tx.operations.locked
            family = [await look(one) for one in ids]
            if not is_expired(family, await tx.retention.now(), seconds):
                return {}
            stored = await tx.checkpoints.of(ids)
            if not dry_run:
                for one in stored:
                    await tx.checkpoints.delete(one)
        return {one: stored[one].artifacts for one in sorted(stored)}

    async def _sweep_orphans(self, sweep: _Sweep, dry_run: bool, stopping: Callable[[], bool]) -> None:
        orphans = await self._orphans(await asyncio.to_thread(list_folders, self._artifacts))
        sweep.more = sweep.more or len(orphans) > MAX_FOLDERS
        for one in orphans[:MAX_FOLDERS]:
            if stopping():
                return
            sweep.freed_bytes += await self._freed(one.path, dry_run)
            sweep.orphans.append(one.path)

    async def _orphans(self, folders: Iterable[Folder]) -> list[Folder]:
        """Those of operations that this database knows: the home may have served another one before."""
        now = self._clock()
        async with self._database.read() as tx:  # in this order: see `unreferenced`
            active = await tx.retention.active()
            referenced = await tx.retention.checkpoint_paths() | await tx.retention.result_paths()
            left = unreferenced(
                folders,
                active=active,
                referenced=referenced,
                now=now,
                seconds=self._orphan_hours * HOUR_SECONDS,
            )
            known = await tx.retention.known({owner for one in left for owner in one.operations})
        return [one for one in left if not known.isdisjoint(one.operations)]

    async def _freed(self, path: str, dry_run: bool) -> int:
        return await asyncio.to_thread(size_of if dry_run else remove, self._artifacts, path)

    async def _usage(self, paths: Iterable[str]) -> Usage:
        found = [*paths]
        sizes = await asyncio.to_thread(lambda: sum(size_of(self._artifacts, one) for one in found))
        return Usage(len(found), sizes)
