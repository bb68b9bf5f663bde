"""Trainings and backtests over the wire: how they are started, and what a training's epochs came to."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ktrdr.api.schemas import (
    DATASET_WHEN_LEFT_OUT,
    STRATEGY_TEXT,
    OperationData,
    ResourcesData,
    Wire,
    example,
)
from ktrdr.api.services.history_service import HistoryView
from ktrdr.api.services.operations_service import OperationView
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN

RULES = {
    "capital": "capital",
    "fee": "fee",
    "slippage": "slippage",
    "position_fraction": "fraction",
    "stop_loss": "stop_loss",
    "take_profit": "take_profit",
    "trailing_stop": "trailing_stop",
}
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


def _fraction(description: str, **bounds: Any) -> Any:
    return Field(None, allow_inf_nan=False, description=description, **bounds)


class StartBacktest(Wire):
    """A completed training, or a strategy whose latest one is taken. What is left out of the rules is the
    strategy's own."""

    model_config = example(
        {
            "training_operation_id": "training_7be2",
            "timerange": "20090101-20131231",
            "fee": 0.001,
            "slippage": 0.0005,
            "stop_loss": 0.05,
        }
    )
    training_operation_id: str | None = Field(None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)
    strategy: dict[str, Any] | None = None
    strategy_text: str | None = Field(None, description=STRATEGY_TEXT)
    timerange: str | None = Field(
        None,
        max_length=17,
        description="days of the validation segment, both ends included: 20140101-20181231, 20140101-, "
        "-20181231; all of it when left out",
    )
    capital: float | None = _fraction("money at the beginning", gt=0.0, le=1e12)
    fee: float | None = _fraction("of the amount traded, each side: 0.001 is 0.1 %", ge=0.0, lt=0.5)
    slippage: float | None = _fraction("of the price, against us, each side", ge=0.0, lt=0.5)
    position_fraction: float | None = _fraction("of the equity that a new position is worth", gt=0.0, le=1.0)
    stop_loss: float | None = _fraction("of the entry price", gt=0.0, lt=1.0)
    take_profit: float | None = _fraction("of the entry price", gt=0.0, le=100.0)
    trailing_stop: float | None = _fraction("of the best price since the entry", gt=0.0, lt=1.0)
    bars_per_second: float | None = _fraction("no faster than this, to watch it", ge=1.0, le=1e9)
    resources: ResourcesData = ResourcesData()

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        named = (self.training_operation_id, self.strategy, self.strategy_text)
        if sum(one is not None for one in named) != 1:
            raise ValueError("send one of training_operation_id, strategy and strategy_text")
        return self

    def rules(self) -> dict[str, float]:
        """Those that were given, by the names that the simulation has for them."""
        given = {name: getattr(self, name) for name in RULES}
        return {RULES[name]: value for name, value in given.items() if value is not None}


class StartedBacktest(OperationData):
    training_operation_id: str

    @classmethod
    def of_training(cls, view: OperationView, training: str) -> StartedBacktest:
        return cls(**OperationData.of(view).model_dump(), training_operation_id=training)


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
