"""Strategy files: validate, list, show, the schema for editors, and a file to start from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from ktrdr.api.schemas import Envelope
from ktrdr.api.services.strategies_service import StrategiesService
from ktrdr.api.strategy_schemas import (
    ReportData,
    StrategyFileData,
    StrategySummary,
    TemplateData,
    ValidateRequest,
)
from ktrdr.domain.grammar.schema import json_schema
from ktrdr.domain.grammar.template import template
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

FileName = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]
NewName = Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$", max_length=80)]


def router(service: StrategiesService) -> APIRouter:
    routes = APIRouter(prefix="/strategies", tags=["strategies"])

    @routes.post("/validate")
    async def validate(body: ValidateRequest) -> Envelope[ReportData]:
        """Every mistake of a strategy at once; 200 also when there are some."""
        report = await service.validate(body.text, body.strategy)
        return Envelope(data=ReportData.of(report, with_strategy=body.text is not None))

    @routes.get("/schema")
    async def schema() -> Envelope[dict[str, Any]]:
        """The grammar as JSON Schema."""
        return Envelope(data=json_schema())

    @routes.get("/template")
    async def starting_file(name: NewName = "my_strategy") -> Envelope[TemplateData]:
        """A commented file that is valid and runs."""
        return Envelope(data=TemplateData(name=name, text=template(name)))

    @routes.get("")
    async def strategies() -> Envelope[list[StrategySummary]]:
        """The files `$KTRDR_HOME/strategies/*.yaml`, by name."""
        return Envelope(data=[StrategySummary.of(file) for file in await service.list()])

    @routes.get("/{name}")
    async def strategy(name: FileName) -> Envelope[StrategyFileData]:
        """One file: its text, and what is wrong with it."""
        return Envelope(data=StrategyFileData.full(await service.get(name)))

    return routes
