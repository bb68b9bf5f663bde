"""The leak check of a strategy, or of a training's networks. It computes in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktrdr.data.catalog import Catalog
from ktrdr.data.child import ask
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.leaks import LeakReport
from ktrdr.domain.operations import OperationType, Status
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.domain.strategy_files import strategy_of
from ktrdr.persistence.unit_of_work import Database

COMMAND = (sys.executable, "-m", "ktrdr.workers.leak_check")
TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True)
class LeakCheck:
    """The strategy that was checked, and what was found."""

    strategy: str
    report: LeakReport


class LeaksService:
    """Use cases of the leak check."""

    def __init__(self, database: Database, catalog: Catalog, artifacts: Path) -> None:
        self._database = database
        self._catalog = catalog
        self._artifacts = artifacts
        self._one_at_a_time = asyncio.Semaphore(1)  # each takes a core

    async def of_strategy(self, text: str | None, config: Mapping[str, Any] | None, seed: int) -> LeakCheck:
        """With networks that are made for the check.

        Raises InvalidInput for a strategy that is not valid or has no data.
        """
        return await self._check(await asyncio.to_thread(strategy_of, config, text), None, seed)

    async def of_training(self, operation_id: str, seed: int) -> LeakCheck:
        """With the networks of a training. Raises OperationNotFound, and InvalidInput when it has none."""
        async with self._database.read() as tx:
            operation = await tx.operations.get(operation_id)
        model = (operation.result or {}).get("model")
        if operation.operation_type is not OperationType.TRAINING or operation.status is not Status.COMPLETED:
            raise InvalidInput(
                f"'{operation_id}' is a {operation.operation_type} that is {operation.status}; networks are "
                "those of a training that has completed. Name one, or a strategy file.",
                {"status": operation.status.value, "operation_type": operation.operation_type.value},
            )
        return await self._check(parse_strategy(operation.request["strategy_config"]), model, seed)

    async def _check(self, strategy: Strategy, model: Mapping[str, Any] | None, seed: int) -> LeakCheck:
        await asyncio.to_thread(self._catalog.dataset_of, strategy)
        request = {
            "strategy": strategy.to_config(),
            "model": model,
            "artifacts": str(self._artifacts),
            "seed": seed,
        }
        async with self._one_at_a_time:
            found = await ask(
                "leak-check",
                self._catalog.root,
                request,
                command=COMMAND,
                timeout=TIMEOUT_SECONDS,
                doing="The leak check",
            )
        return LeakCheck(strategy.name, LeakReport.from_json(found))
