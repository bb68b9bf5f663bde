"""Data sets: listed from their records; whatever reads bars runs in a process of its own."""

from __future__ import annotations

import asyncio
import builtins
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from ktrdr.data.catalog import Catalog
from ktrdr.data.child import ask
from ktrdr.domain.errors import DatasetNotFound, FileTooLarge, NoSuchDataset
from ktrdr.domain.market import DATASETS, DatasetSpec

INCOMING = "incoming"
BUILT_IN = "built in"


@dataclass(frozen=True)
class Dataset:
    """A data set as it is shown. `checks` is None for a built-in one that nobody has looked at."""

    spec: DatasetSpec
    sha256: str
    source: str
    imported_at: str | None
    checks: Mapping[str, Any] | None


class DataService:
    """Use cases of data sets."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        max_bytes: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalog = catalog
        self._max_bytes = max_bytes
        self._now = now
        self._one_at_a_time = asyncio.Semaphore(1)  # each may take gigabytes
        self._spooling: set[str] = set()

    async def list(self) -> builtins.list[Dataset]:
        """Every data set, built-in first."""
        return await asyncio.to_thread(lambda: [self._dataset(key) for key in self._catalog.specs()])

    async def get(self, key: str) -> Dataset:
        """One data set with its checks. Raises NoSuchDataset or DatasetCorrupted."""
        found = await self._find(key)
        if found.checks is not None:
            return found
        return Dataset(found.spec, found.sha256, found.source, found.imported_at, await self.check(key))

    async def check(self, key: str) -> dict[str, Any]:
        """The checks of a data set's bars as they are now. Raises NoSuchDataset or DatasetCorrupted."""
        await self._find(key)
        async with self._one_at_a_time:
            return await ask("check", self._catalog.root, {"key": key})

    async def import_stream(
        self, body: AsyncIterator[bytes], announced: int | None, request: Mapping[str, Any]
    ) -> tuple[Dataset, dict[str, Any]]:
        """Import a file as it comes in; the data set and the report.

        Raises FileTooLarge, or what the import is refused with. The file that came is never kept.
        """
        if announced is not None and announced > self._max_bytes:
            raise self._too_large()
        with self._spool() as path:
            await self._receive(body, path)
            return await self._ask("import", path, request)

    async def download(self, request: Mapping[str, Any]) -> tuple[Dataset, dict[str, Any]]:
        """Fetch from a provider and import. Raises ExtraNotInstalled, DownloadFailed or a refusal."""
        with self._spool() as path:
            return await self._ask("download", path, request)

    def sweep(self) -> None:
        """Remove files that a backend which was killed had been receiving."""
        folder = self._incoming()
        for path in folder.glob("*") if folder.is_dir() else ():
            owner = path.name.partition("-")[0]
            alive = owner.isdigit() and int(owner) != os.getpid() and psutil.pid_exists(int(owner))
            if not alive and path.name not in self._spooling:
                path.unlink(missing_ok=True)

    async def _ask(self, job: str, path: Path, request: Mapping[str, Any]) -> tuple[Dataset, dict[str, Any]]:
        whole = {**request, "file": str(path), "now": self._now().isoformat(timespec="seconds")}
        async with self._one_at_a_time:
            report = await ask(job, self._catalog.root, whole)
        return await asyncio.to_thread(self._dataset, str(report["key"])), report

    async def _receive(self, body: AsyncIterator[bytes], path: Path) -> None:
        size = 0
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            async for piece in body:
                size += len(piece)
                if size > self._max_bytes:
                    raise self._too_large()
                await asyncio.to_thread(file.write, piece)

    @contextmanager
    def _spool(self) -> Iterator[Path]:
        """A name for a file that is gone afterwards, whatever happens."""
        folder = self._incoming()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sweep()
        name = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._spooling.add(name)
        try:
            yield folder / name
        finally:
            self._spooling.discard(name)
            (folder / name).unlink(missing_ok=True)

    def _incoming(self) -> Path:
        assert self._catalog.root is not None
        return self._catalog.root / INCOMING

    async def _find(self, key: str) -> Dataset:
        try:
            return await asyncio.to_thread(self._dataset, key)
        except DatasetNotFound as missing:
            raise NoSuchDataset(missing.message, {"key": key}) from missing

    def _dataset(self, key: str) -> Dataset:
        if key in DATASETS:
            return Dataset(DATASETS[key], self._catalog.sha256(key), BUILT_IN, None, None)
        record = self._catalog.record(key)
        return Dataset(record.spec, record.sha256, record.source, record.imported_at, record.checks)

    def _too_large(self) -> FileTooLarge:
        return FileTooLarge(
            f"A file has at most {self._max_bytes} bytes. Import it in parts, as Parquet, or raise "
            "KTRDR_MAX_IMPORT_BYTES.",
            {"max_bytes": self._max_bytes},
        )
