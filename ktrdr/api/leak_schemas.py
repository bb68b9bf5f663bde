"""The leak check over the wire."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ktrdr.api.schemas import Wire
from ktrdr.api.services.leaks_service import LeakCheck
from ktrdr.domain.leaks import LeakKind
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN


class LeakCheckRequest(Wire):
    """A file's text (YAML or JSON: errors have lines), a strategy as a mapping, or a training's id."""

    text: str | None = None
    strategy: dict[str, Any] | None = None
    training_id: str | None = Field(None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)
    seed: int = Field(0, ge=0, le=2**31 - 1, description="which bars are looked at, and the changes")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(one is not None for one in (self.text, self.strategy, self.training_id)) != 1:
            raise ValueError("send one of text, strategy and training_id")
        return self


class LeakData(Wire):
    kind: LeakKind
    name: str
    symbol: str
    known: int = Field(description="bars of the symbol that were not changed; bars count from 0")
    perturbation: str
    bar: int | None = Field(description="the first bar that moved; null: something fitted")
    time: int | None = Field(description="when it opens, seconds since 1970-01-01 UTC")
    fold: str | None
    before: float | None
    after: float | None
    times: int = Field(description="in how many comparisons it moved")


class LeakCheckData(Wire):
    """`leaks` is empty when nothing moved."""

    strategy: str
    clean: bool
    leaks: list[LeakData]
    bars: int
    moments: int = Field(description="bars after which everything was changed")
    features: int
    folds: int
    networks: int
    trained: bool = Field(description="the networks are those of a training")
    perturbations: list[str]

    @classmethod
    def of(cls, check: LeakCheck) -> LeakCheckData:
        return cls(strategy=check.strategy, **check.report.to_json())
