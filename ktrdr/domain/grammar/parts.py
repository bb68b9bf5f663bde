"""The keys of grammar 3.0 and the kind of value each takes. What depends on two keys is in `consistency`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
Symbol = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9^][A-Za-z0-9_.^/= -]*$")]
Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1w"]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Bars = Annotated[int, Field(ge=1, le=10_000)]


def _also(default: Any, *names: str) -> Any:
    """A field with further names that are in use."""
    return Field(default, validation_alias=AliasChoices(*names))


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Symbols(Part):
    mode: Literal["single", "multi_symbol"] = "single"
    symbol: Symbol | None = None
    list: tuple[Symbol, ...] | None = Field(None, min_length=1)


class Timeframes(Part):
    mode: Literal["single", "multi_timeframe"] = "single"
    timeframe: Timeframe | None = None
    list: tuple[Timeframe, ...] | None = Field(None, min_length=1)
    base_timeframe: Timeframe | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """Every timeframe, in the order that features have."""
        return self.list if self.mode == "multi_timeframe" and self.list else (self.timeframe or "1d",)


class DateRange(Part):
    start: date = Field(validation_alias=AliasChoices("start", "start_date"))
    end: date = Field(validation_alias=AliasChoices("end", "end_date"))


class TrainingData(Part):
    symbols: Symbols
    timeframes: Timeframes = Timeframes()
    date_range: DateRange | None = None
    history_required: int = Field(100, ge=0, le=100_000)


class FuzzySet(Part):
    """An interpretation of one indicator output; its points are checked where they stand."""

    indicator: str
    labels: dict[Id, Any]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not isinstance(value.get("labels"), Mapping):
            labels = {name: one for name, one in value.items() if name != "indicator"}
            return {**{k: v for k, v in value.items() if k == "indicator"}, "labels": labels}
        return value


class Input(Part):
    fuzzy_set: str | None = None
    raw_indicator: str | None = None
    timeframes: Any = "all"
    normalization: Literal["zscore"] | None = None


class Architecture(Part):
    hidden_layers: tuple[Annotated[int, Field(ge=1, le=8192)], ...] | None = Field(
        None, min_length=1, max_length=32
    )
    activation: Literal["relu", "tanh", "gelu", "sigmoid", "leaky_relu", "elu", "silu"] | None = None
    dropout: Share = 0.0
    sequence_length: Annotated[int, Field(ge=1, le=10_000)] | None = None
    hidden_size: Annotated[int, Field(ge=1, le=8192)] | None = None
    num_layers: Annotated[int, Field(ge=1, le=32)] | None = None


class Model(Part):
    type: Literal["mlp", "lstm", "gru"] = "mlp"
    architecture: Architecture = Architecture()


class CostModel(Part):
    round_trip_cost: float = Field(0.003, ge=0.0, lt=0.5)
    min_edge_multiplier: Annotated[float, Field(ge=0.0)] | None = None


class Filters(Part):
    min_signal_separation: Annotated[int, Field(ge=0, le=10_000)] | None = None
    volume_filter: bool | None = None


class Decisions(Part):
    output_format: Literal["classification", "regression"] = "classification"
    num_classes: Annotated[int, Field(ge=2, le=10)] | None = None
    confidence_threshold: float = Field(0.4, ge=0.0, le=1.0)
    cost_model: CostModel = CostModel()
    position_awareness: bool | None = None
    filters: Filters | None = None


class Labels(Part):
    source: Literal["forward_return", "zigzag", "triple_barrier", "regime", "context"] = "forward_return"
    horizon: Bars | None = None
    zigzag_threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    label_lookahead: Bars | None = None
    pt_multiplier: Positive | None = _also(None, "pt_multiplier", "profit_target_atr")
    sl_multiplier: Positive | None = _also(None, "sl_multiplier", "stop_loss_atr")
    max_holding_period: Bars | None = _also(None, "max_holding_period", "max_holding_bars")
    vol_span: Bars | None = _also(None, "vol_span", "atr_period")
    vol_method: Literal["ewm", "rolling", "atr"] | None = None


class WalkForward(Part):
    folds: int = Field(4, ge=1, le=20)
    initial_fraction: float = Field(0.4, ge=0.1, le=0.9)


class LrScheduler(Part):
    type: Literal["cosine", "step", "exponential", "plateau", "none"] = "cosine"
    step_size: Bars | None = None
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    patience: Bars | None = None
    min_lr: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    warmup_epochs: Annotated[int, Field(ge=0, le=10_000)] | None = None


class EarlyStopping(Part):
    enabled: bool = True
    patience: Bars = 15
    min_delta: float = Field(0.0, ge=0.0)


class DataSplit(Part):
    train: float = Field(gt=0.0, lt=1.0)
    validation: Share
    test: Share = 0.0


class Training(Part):
    epochs: int = Field(60, ge=1, le=10_000)
    batch_size: int = Field(256, ge=1, le=65_536)
    learning_rate: float = Field(0.001, gt=0.0, le=1.0)
    loss: Literal["cross_entropy", "focal", "huber"] | None = None
    focal_gamma: Annotated[float, Field(ge=0.0, le=20.0)] | None = None
    huber_delta: Positive | None = None
    gradient_clip: Positive | None = None
    lr_scheduler: LrScheduler | None = None
    early_stopping: EarlyStopping | None = None
    data_split: DataSplit | None = None
    validation_split: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    labels: Labels = Labels()
    walk_forward: WalkForward = WalkForward()
    ensemble: int = Field(3, ge=1, le=20)


class WholeStrategy(Part):
    """A strategy in the whole grammar. `indicators` are as written: their types say what they take."""

    name: Name
    version: Literal["3.0"]
    description: str = Field("", max_length=2000)
    training_data: TrainingData
    indicators: dict[Id, Any] = Field(min_length=1)
    fuzzy_sets: dict[Id, FuzzySet] = {}
    nn_inputs: tuple[Input, ...] = Field(min_length=1)
    model: Model = Model()
    decisions: Decisions = Decisions()
    training: Training = Training()
    scope: Any = None
    context_data: Any = None
    deployment: Any = None

    def features(self) -> tuple[str, ...]:
        """Ids of what the network sees: inputs as written, then timeframes, then labels as written."""
        found: list[str] = []
        for one in self.nn_inputs:
            timeframes = self.training_data.timeframes.all if one.timeframes == "all" else one.timeframes
            ends = [one.raw_indicator]
            if one.fuzzy_set is not None:
                ends = [f"{one.fuzzy_set}_{label}" for label in self.fuzzy_sets[one.fuzzy_set].labels]
            found += [f"{timeframe}_{end}" for timeframe in timeframes for end in ends]
        return tuple(found)
