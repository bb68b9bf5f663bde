"""Strategy files over the wire."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ktrdr.api.schemas import Wire
from ktrdr.api.services.strategies_service import StrategyFile
from ktrdr.domain.fingerprints import finite
from ktrdr.domain.strategy_files import StrategyReport


class ValidateRequest(Wire):
    """A file's text (YAML or JSON: errors have lines), or a strategy as a mapping."""

    text: str | None = None
    strategy: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.strategy is None):
            raise ValueError("send either text or strategy")
        return self


class FaultData(Wire):
    path: str
    message: str
    found: Any = None
    allowed: list[Any] | None = None
    closest: str | None = None
    line: int | None = None


class ReportData(Wire):
    """`warnings` do not keep it from being run; `strategy` is what a text says."""

    valid: bool
    name: str | None
    errors: list[FaultData]
    warnings: list[FaultData]
    features: list[str]
    strategy: dict[str, Any] | None = Field(None, description="only for a text that could be read")

    @classmethod
    def of(cls, report: StrategyReport, *, with_strategy: bool) -> ReportData:
        shown = report.config if with_strategy else None
        return cls(
            valid=report.valid,
            name=report.name,
            errors=[FaultData(**one) for one in report.errors],
            warnings=[FaultData(**one) for one in report.warnings],
            features=list(report.features),
            strategy=None if shown is None else finite(dict(shown)),
        )


class StrategySummary(Wire):
    name: str
    path: str
    valid: bool
    errors: int

    @classmethod
    def of(cls, file: StrategyFile) -> StrategySummary:
        report = file.report
        return cls(
            name=file.name,
            path=str(file.path),
            valid=report.valid,
            errors=len(report.errors),
        )


class StrategyFileData(StrategySummary):
    text: str
    report: ReportData

    @classmethod
    def full(cls, file: StrategyFile) -> StrategyFileData:
        report = ReportData.of(file.report, with_strategy=True)
        return cls(**StrategySummary.of(file).model_dump(), text=file.text, report=report)


class TemplateData(Wire):
    name: str
    text: str
