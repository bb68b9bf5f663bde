"""Data sets: list, show, check, import a file, download from a provider."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from ktrdr.api.data_schemas import (
    DatasetData,
    DatasetDetail,
    DownloadRequest,
    ImportedData,
    Source,
    SymbolQuery,
    Zone,
)
from ktrdr.api.schemas import Envelope
from ktrdr.api.services.data_service import DataService
from ktrdr.domain.grammar.parts import Timeframe
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

IMPORT_PATH = "/data/import"
Key = Annotated[str, Path(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)]
Flag = Annotated[bool, Query()]


def router(service: DataService) -> APIRouter:
    routes = APIRouter(tags=["data"])

    @routes.get("/data")
    async def datasets() -> Envelope[list[DatasetData]]:
        """Every data set: built-in ones first, then what was imported, by key."""
        return Envelope(data=[DatasetData.of(one) for one in await service.list()])

    @routes.post(IMPORT_PATH, status_code=201)
    async def import_file(
        request: Request,
        symbol: SymbolQuery,
        timeframe: Timeframe,
        source: Source = "a file",
        drop_bad_rows: Flag = False,
        replace: Flag = False,
        holdout_start: date | None = None,
        timezone: Zone = None,
        day_first: bool | None = None,
    ) -> Envelope[ImportedData]:
        """Import the body, a CSV or Parquet file, as one symbol's bars. All of it, or nothing."""
        wanted = {
            "symbol": symbol,
            "timeframe": timeframe,
            "source": source,
            "drop_bad_rows": drop_bad_rows,
            "replace": replace,
            "holdout_start": None if holdout_start is None else holdout_start.isoformat(),
            "timezone": timezone,
            "day_first": day_first,
        }
        announced = request.headers.get("content-length")
        length = None if announced is None else int(announced)
        found, report = await service.import_stream(request.stream(), length, wanted)
        return Envelope(data=ImportedData.reported(found, report))

    @routes.post("/data/download", status_code=201)
    async def download(body: DownloadRequest) -> Envelope[ImportedData]:
        """Import bars from a provider; its library is an extra of the backend's installation."""
        found, report = await service.download(body.model_dump(mode="json"))
        return Envelope(data=ImportedData.reported(found, report))

    @routes.get("/data/{key}")
    async def dataset(key: Key) -> Envelope[DatasetDetail]:
        """One data set: its segments, hash, first and last bars, and what its checks found."""
        return Envelope(data=DatasetDetail.full(await service.get(key)))

    @routes.get("/data/{key}/check")
    async def check(key: Key) -> Envelope[dict[str, Any]]:
        """Gaps, order and plausibility of the bars as they are on disk now, after their hash is verified."""
        return Envelope(data=await service.check(key))

    return routes
