"""The leak check: does a strategy see anything before its time?"""

from __future__ import annotations

from fastapi import APIRouter

from ktrdr.api.leak_schemas import LeakCheckData, LeakCheckRequest
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.leaks_service import LeaksService


def router(service: LeaksService) -> APIRouter:
    routes = APIRouter(prefix="/strategies", tags=["strategies"])

    @routes.post("/leak-check")
    async def leak_check(body: LeakCheckRequest) -> Envelope[LeakCheckData]:
        """Change every bar that was not known, compute anew, and name what moved; 200 also when something
        did. It answers when it is done: a few seconds for some thousand bars, minutes for a million."""
        if body.training_id is not None:
            found = await service.of_training(body.training_id, body.seed)
        else:
            found = await service.of_strategy(body.text, body.strategy, body.seed)
        return Envelope(data=LeakCheckData.of(found))

    return routes
