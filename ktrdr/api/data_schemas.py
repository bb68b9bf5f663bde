"""Data sets over the wire."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from ktrdr.api.schemas import Wire
from ktrdr.api.services.data_service import Dataset
from ktrdr.domain.grammar.parts import Symbol, Timeframe

SymbolQuery = Annotated[Symbol, Query(description="as strategies write it")]
Zone = Annotated[str | None, Query(max_length=60, description="of times without a zone; UTC when left out")]
Source = Annotated[str, Query(max_length=200, description="where the file is from; its name")]


class DatasetData(Wire):
    """Bars up to `development_end` are learnt from; those from `holdout_start` on are sealed."""

    key: str
    title: str
    symbol: str
    timeframe: str
    start: date
    development_end: date
    holdout_start: date
    end: date
    bars: int | None
    sha256: str
    source: str
    imported_at: str | None

    @classmethod
    def of(cls, one: Dataset) -> DatasetData:
        spec = one.spec
        return cls(
            key=spec.key,
            title=spec.title,
            symbol=spec.symbol,
            timeframe=spec.timeframe,
            start=spec.start,
            development_end=spec.development_end,
            holdout_start=spec.holdout_start,
            end=spec.end,
            bars=None if one.checks is None else int(one.checks["bars"]),
            sha256=one.sha256,
            source=one.source,
            imported_at=one.imported_at,
        )


class DatasetDetail(DatasetData):
    checks: dict[str, Any]

    @classmethod
    def full(cls, one: Dataset) -> DatasetDetail:
        return cls(**DatasetData.of(one).model_dump(), checks=dict(one.checks or {}))


class ImportedData(DatasetDetail):
    """A data set that was just imported, which rows were left out, and what was assumed."""

    dropped_rows: int
    dropped: dict[str, int]
    notes: list[str]

    @classmethod
    def reported(cls, one: Dataset, report: dict[str, Any]) -> ImportedData:
        return cls(
            **DatasetDetail.full(one).model_dump(),
            dropped_rows=report["dropped_rows"],
            dropped=report["dropped"],
            notes=report["notes"],
        )


class DownloadRequest(Wire):
    """Bars of a provider, both days included. `exchange` is ccxt's name of one."""

    provider: Literal["yfinance", "ccxt"]
    symbol: Symbol
    timeframe: Timeframe
    start: date
    end: date
    exchange: str | None = Field(None, max_length=60, pattern=r"^[a-z0-9_]+$")
    replace: bool = False
    drop_bad_rows: bool = False
    holdout_start: date | None = None
