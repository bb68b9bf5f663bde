"""The files of a backtest's report, as its worker wrote them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from ktrdr.checkpointing.artifacts import read_generation
from ktrdr.checkpointing.schemas import Manifest
from ktrdr.domain.errors import ReportNotFound
from ktrdr.domain.operations import Operation, OperationType
from ktrdr.persistence.unit_of_work import Database
from ktrdr.reporting.sheet import tear_sheet

REPORT = "report.json"


@dataclass(frozen=True)
class ReportFile:
    """The bytes of one file, and the hash that names them."""

    content: bytes
    sha256: str


class ReportsService:
    """Use cases of a backtest's report."""

    def __init__(self, database: Database, artifacts: Path) -> None:
        self._database = database
        self._artifacts = artifacts

    async def file(self, operation_id: str, name: str) -> ReportFile:
        """One file, verified.

        Raises OperationNotFound, ReportNotFound, and CheckpointCorrupted for a file that is not what was
        written.
        """
        return await self._file(await self._get(operation_id), name)

    async def sheet(self, operation_id: str) -> str:
        """The report as one HTML document; raises what `file` does."""
        operation = await self._get(operation_id)
        found = await self._file(operation, REPORT)
        result, request = operation.result or {}, operation.request
        identity = {
            "operation_id": operation_id,
            "training_operation_id": request.get("training_operation_id"),
            **{name: result.get(name) for name in ("trades_sha256", "equity_sha256")},
        }
        return await asyncio.to_thread(lambda: tear_sheet(json.loads(found.content), identity))

    async def _get(self, operation_id: str) -> Operation:
        async with self._database.read() as tx:
            return await tx.operations.get(operation_id)

    async def _file(self, operation: Operation, name: str) -> ReportFile:
        manifest = _manifest(operation)
        if name not in manifest.files:
            there = ", ".join(sorted(manifest.files))
            raise ReportNotFound(operation.operation_id, f"it has no file '{name}'. There: {there}.")
        wanted = Manifest(manifest.path, {name: manifest.files[name]})
        files = await asyncio.to_thread(read_generation, self._artifacts, wanted)
        return ReportFile(files[name], manifest.files[name].sha256)


def _manifest(operation: Operation) -> Manifest:
    operation_id = operation.operation_id
    if operation.operation_type is not OperationType.BACKTESTING:
        why = f"it is {operation.operation_type}, not backtesting. Ask for that of the backtest."
        raise ReportNotFound(operation_id, why)
    if operation.result is None:
        why = f"it is {operation.status}. Wait for its end; what stopped goes on with a resume."
        raise ReportNotFound(operation_id, why)
    if "report" not in operation.result:
        raise ReportNotFound(operation_id, "an older ktrdr ran it. Run the backtest anew.")
    return Manifest.from_json(operation.result["report"])
