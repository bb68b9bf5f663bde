"""What a backtest that is asked for is: which model, over which days, by which rules."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import NewOperation, Operation, OperationType, Resources, Status
from ktrdr.domain.strategies import Strategy, strategy_sha256
from ktrdr.domain.timeranges import TimeRange, check_within, parse_timerange
from ktrdr.persistence.unit_of_work import Database

TRAININGS = 1000  # how many of the newest ones are looked through for that of a strategy


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for; `rules` are those that override the strategy's, by the names of `Rules`."""

    training_operation_id: str | None = None
    strategy: Strategy | None = None
    timerange: str | None = None
    rules: Mapping[str, float] = field(default_factory=dict)
    bars_per_second: float | None = None
    resources: Resources = field(default_factory=Resources)


class BacktestsService:
    """Makes the operation of a backtest. All that it computes with is written into its request."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def plan(self, wanted: Wanted) -> NewOperation:
        """Raises OperationNotFound, and InvalidInput for a model, days or data that can't be backtested."""
        training = await self._training(wanted)
        await asyncio.to_thread(self._check_data, training)
        request: dict[str, Any] = {
            "dataset": training.request["dataset"],
            "strategy_config": training.request["strategy_config"],
            "segment": Segment.VALIDATION.value,
            "model": (training.result or {})["model"],
            "training_operation_id": training.operation_id,
        }
        if wanted.rules:
            request["rules"] = dict(wanted.rules)
        if wanted.timerange is not None:
            days = parse_timerange(wanted.timerange)
            await asyncio.to_thread(self._check_days, days, training)
            request["timerange"] = str(days)
        if wanted.bars_per_second is not None:
            request["bars_per_second"] = wanted.bars_per_second
        new = f"backtest_{uuid.uuid4().hex[:12]}"
        return NewOperation(new, OperationType.BACKTESTING, request, resources=wanted.resources)

    async def _training(self, wanted: Wanted) -> Operation:
        if wanted.strategy is not None:
            return await self._training_of(wanted.strategy)
        assert wanted.training_operation_id is not None
        async with self._database.read() as tx:
            training = await tx.operations.get(wanted.training_operation_id)
        done = training.status is Status.COMPLETED and training.result is not None
        if training.operation_type is not OperationType.TRAINING or not done:
            raise InvalidInput(
                f"'{training.operation_id}' is not a completed training (it is "
                f"{training.operation_type}, {training.status}). Wait for it, or name another."
            )
        return training

    async def _training_of(self, strategy: Strategy) -> Operation:
        """The latest training of a strategy that says exactly the same."""
        wanted = strategy_sha256(strategy)
        kind = OperationType.TRAINING
        async with self._database.read() as tx:
            found = await tx.operations.list(status=Status.COMPLETED, operation_type=kind, limit=TRAININGS)
        same = [one for one in found if sha256_of(one.request["strategy_config"]) == wanted]
        if not same:
            named = sorted({one.operation_id for one in found if _name(one) == strategy.name})
            others = f" ({', '.join(named[-3:])} trained another version of it)" if named else ""
            raise InvalidInput(
                f"No completed training of '{strategy.name}' as it is written now{others}. "
                "Train it first: ktrdr train STRATEGY --watch.",
                {"strategy_sha256": wanted, "other_versions": named},
            )
        return max(same, key=lambda one: one.completed_at or 0.0)

    def _check_data(self, training: Operation) -> None:
        """A model's folds are rows: of other bars they would be other days."""
        request = training.request
        trained_on = (training.result or {}).get("data_sha256")
        now = fingerprint_of(self._catalog, str(request["dataset"]), request["strategy_config"], {}).data
        if trained_on not in (None, now):
            raise InvalidInput(
                f"The data of '{training.operation_id}' is not what it was trained on: it was imported anew. "
                "Train the strategy again, then backtest that training.",
                {"trained_on": trained_on, "now": now},
            )

    def _check_days(self, days: TimeRange, training: Operation) -> None:
        spec = self._catalog.get(str(training.request["dataset"]))
        kept = (training.result or {}).get("validation")
        segment = TimeRange(None, spec.development_end)
        if kept is not None:
            segment = TimeRange(date.fromisoformat(kept["first"]), date.fromisoformat(kept["last"]))
        check_within(days, segment, spec.development_end)


def _name(training: Operation) -> Any:
    return training.request["strategy_config"].get("name")
