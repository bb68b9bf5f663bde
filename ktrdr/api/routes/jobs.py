"""Training and backtests without a session: the same operations, started directly."""

from __future__ import annotations

import asyncio
import uuid

from fastapi import APIRouter

from ktrdr.api.job_schemas import StartBacktest, StartTraining
from ktrdr.api.schemas import Envelope, OperationData
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import NewOperation, OperationType, Status
from ktrdr.domain.strategy_files import strategy_of


def router(service: OperationsService, catalog: Catalog) -> APIRouter:
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
    async def start_backtest(body: StartBacktest) -> Envelope[OperationData]:
        """Backtest a trained strategy on its validation segment; the holdout is for sessions alone."""
        training = (await service.get(body.training_operation_id)).operation
        done = training.status is Status.COMPLETED and training.result is not None
        if training.operation_type is not OperationType.TRAINING or not done:
            raise InvalidInput(
                f"'{body.training_operation_id}' is not a completed training (it is "
                f"{training.operation_type}, {training.status}). Wait for it, or name another."
            )
        request = {
            "dataset": training.request["dataset"],
            "strategy_config": training.request["strategy_config"],
            "segment": Segment.VALIDATION.value,
            "model": (training.result or {})["model"],
        }
        new = NewOperation(
            f"backtest_{uuid.uuid4().hex[:12]}",
            OperationType.BACKTESTING,
            request,
            resources=body.resources.to_domain(),
        )
        return Envelope(data=OperationData.of(await service.start(new)))

    return routes
