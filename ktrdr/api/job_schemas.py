"""Trainings and backtests over the wire: how they are started, and what a training's epochs came to."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ktrdr.api.schemas import DATASET_WHEN_LEFT_OUT, STRATEGY_TEXT, ResourcesData, Wire, example
from ktrdr.api.services.history_service import HistoryView
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$"


class StartTraining(Wire):
    """A strategy as a mapping, or its file's text; `device` overrides its own."""

    strategy: dict[str, Any] | None = None
    strategy_text: str | None = Field(None, description=STRATEGY_TEXT)
    dataset: str | None = Field(
        None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH, description=DATASET_WHEN_LEFT_OUT
    )
    seed: int = Field(0, ge=0, lt=2**31)
    device: str | None = Field(
        None,
        pattern=DEVICE_PATTERN,
        description="auto, cpu, cuda, cuda:n or mps; the strategy's when left out",
    )
    resources: ResourcesData = ResourcesData()

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.strategy is None) == (self.strategy_text is None):
            raise ValueError("send either strategy or strategy_text")
        return self


class StartBacktest(Wire):
    model_config = example({"training_operation_id": "training_7be2"})
    training_operation_id: str = Field(pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)
    resources: ResourcesData = ResourcesData()


class EpochData(Wire):
    """One epoch of one network, both counted from 1. Of rows that were not learnt from where it says
    validation; null where there are none."""

    network: int
    epoch: int
    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None


class HistoryData(Wire):
    """`epochs_run` counts all of them, `epochs` are the last ones that were asked for."""

    operation_id: str
    status: str
    epochs_run: int
    epochs: list[EpochData]

    @classmethod
    def of(cls, view: HistoryView, last: int) -> HistoryData:
        return cls(
            operation_id=view.operation.operation_id,
            status=view.operation.status.value,
            epochs_run=len(view.epochs),
            epochs=[EpochData(**one) for one in view.epochs[-last:]],
        )
