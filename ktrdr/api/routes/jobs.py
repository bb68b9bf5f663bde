"""Training and backtests without a session: the same operations, started directly."""

from __future__ import annotations

import asyncio
import uuid

from fastapi import APIRouter

from ktrdr.api.job_schemas import StartBacktest, StartedBacktest, StartTraining
from ktrdr.api.schemas import Envelope, OperationData
from ktrdr.api.services.backtests_service import BacktestsService, Wanted
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.domain.strategy_files import strategy_of


def router(service: OperationsService, backtests: BacktestsService, catalog: Catalog) -> APIRouter:
    routes = APIRouter(tags=["training and backtests"])

    @routes.post("/training/start", status_code=202)
    async def start_training(body: StartTraining) -> Envelope[OperationData]:
        """Train a strategy on the development segment of its data set."""
        strategy = await asyncio.to_thread(strategy_of, body.strategy, body.strategy_text)
        spec = await asyncio.to_thread(catalog.dataset_for, strategy, body.dataset)
        request = {
            "dataset": spec.key,
            "strategy_config": strategy.to_config(),
            "seed": body.seed,
            **({} if body.device is None else {"device": body.device}),
        }
        new = NewOperation(
            f"training_{uuid.uuid4().hex[:12]}",
            OperationType.TRAINING,
            request,
            resources=body.resources.to_domain(),
        )
        return Envelope(data=OperationData.of(await service.start(new)))

    @routes.post("/backtests/start", status_code=202)
    async def start_backtest(body: StartBacktest) -> Envelope[StartedBacktest]:
        """Backtest a trained strategy on its validation segment; the holdout is for sessions alone."""
        strategy = None
        if body.training_operation_id is None:
            strategy = await asyncio.to_thread(strategy_of, body.strategy, body.strategy_text)
        wanted = Wanted(
            body.training_operation_id,
            strategy,
            body.timerange,
            body.rules(),
            body.bars_per_second,
            body.resources.to_domain(),
        )
        new = await backtests.plan(wanted)
        training = str(new.request["training_operation_id"])
        return Envelope(data=StartedBacktest.of_training(await service.start(new), training))

    return routes
