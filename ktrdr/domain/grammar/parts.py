"""The keys of grammar 3.0, the kind of value each takes, and what is meant where one is left out.

What depends on two keys is in `consistency`. A default is filled in only where the file would mean the
same with it written out, so that a strategy reads back from its own `to_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ktrdr.domain.grammar.indicators import CATALOGUE, definition_faults, kind_of, parameters_of
from ktrdr.domain.grammar.kept import Kept
from ktrdr.domain.grammar.shapes import membership_faults, points_of
from ktrdr.domain.labels import DEFAULT_CLASSES

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
Symbol = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9^][A-Za-z0-9_.^/= -]*$")]
Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1w"]
Source = Literal["close", "open", "high", "low", "volume", "hl2", "hlc3", "ohlc4"]
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

    @property
    def all(self) -> tuple[str, ...]:
        """Every symbol, in the order of the file."""
        return self.list if self.mode == "multi_symbol" and self.list else (self.symbol or "",)


class Timeframes(Part):
    mode: Literal["single", "multi_timeframe"] = "single"
    timeframe: Timeframe | None = None
    list: tuple[Timeframe, ...] | None = Field(None, min_length=1)
    base_timeframe: Timeframe | None = None

    @model_validator(mode="before")
    @classmethod
    def _daily(cls, value: Any) -> Any:
        single = isinstance(value, Mapping) and value.get("mode", "single") == "single"
        return {"timeframe": "1d", **value} if single else value

    @property
    def all(self) -> tuple[str, ...]:
        """Every timeframe, in the order that features have."""
        return self.list if self.mode == "multi_timeframe" and self.list else (self.timeframe or "1d",)

    @property
    def base(self) -> str:
        """The timeframe that decisions are made on: the first one when none is named."""
        return self.base_timeframe or self.all[0]


def _given(value: Mapping[str, Any]) -> dict[str, Any]:
    """What was written; a null is nothing written."""
    return {key: one for key, one in value.items() if one is not None}


class DateRange(Part):
    start: date = Field(validation_alias=AliasChoices("start", "start_date"))
    end: date = Field(validation_alias=AliasChoices("end", "end_date"))


class TrainingData(Part):
    symbols: Symbols
    timeframes: Timeframes = Timeframes()
    date_range: DateRange | None = None
    history_required: int = Field(100, ge=0, le=100_000)


class Indicator(Part):
    """One indicator with every parameter filled in; `data_source` is another symbol to compute it on."""

    type: str
    source: Source = "close"
    data_source: Symbol | None = None
    parameters: dict[str, int | float]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if wrong := [one["message"] for one in definition_faults("", value)]:
            raise ValueError("; ".join(wrong))
        kind = kind_of(value["type"])
        kept = {key: value[key] for key in ("source", "data_source") if key in value}
        return {"type": kind, **kept, "parameters": {**CATALOGUE[kind][0], **parameters_of(value)}}


class Membership(Part):
    """One label of a fuzzy set: the shape and its parameters."""

    type: Literal["triangular", "trapezoidal", "gaussian", "sigmoid"]
    parameters: tuple[float, ...]

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if wrong := [one["message"] for one in membership_faults("", value)]:
            raise ValueError("; ".join(wrong))
        return points_of(value)


class FuzzySet(Part):
    """An interpretation of one indicator output."""

    indicator: str
    labels: dict[Id, Membership] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not isinstance(value.get("labels"), Mapping):
            labels = {name: one for name, one in value.items() if name != "indicator"}
            return {**{k: v for k, v in value.items() if k == "indicator"}, "labels": labels}
        return value


def _timeframes(value: Any) -> Any:
    listed = isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value)
    if value != "all" and not listed:
        raise ValueError("timeframes is 'all' or a list of timeframes")
    return value if value == "all" else tuple(value)


class Input(Part):
    """One entry of nn_inputs: a fuzzy set, or a raw indicator that is scaled on training rows."""

    fuzzy_set: str | None = None
    raw_indicator: str | None = None
    timeframes: Annotated[
        Literal["all"] | tuple[str, ...], BeforeValidator(_timeframes, json_schema_input_type=Any)
    ] = "all"
    normalization: Literal["zscore"] | None = None


class Architecture(Part):
    """`hidden_layers` and `activation` are the perceptron's; the rest is of lstm and gru."""

    hidden_layers: tuple[Annotated[int, Field(ge=1, le=8192)], ...] | None = Field(
        None, min_length=1, max_length=32
    )
    activation: Literal["relu", "tanh", "gelu", "sigmoid", "leaky_relu", "elu", "silu"] | None = None
    dropout: Share = 0.0
    sequence_length: Annotated[int, Field(ge=1, le=10_000)] | None = None
    hidden_size: Annotated[int, Field(ge=1, le=8192)] | None = None
    num_layers: Annotated[int, Field(ge=1, le=32)] | None = None


PERCEPTRON: Mapping[str, Any] = {"hidden_layers": (32, 16), "activation": "relu"}
RECURRENT: Mapping[str, Any] = {"sequence_length": 20, "hidden_size": 32, "num_layers": 1}


class Model(Part):
    """With `learn_memberships` the points of the fuzzy sets are trained with the network."""

    type: Literal["mlp", "lstm", "gru"] = "mlp"
    architecture: Architecture = Architecture(hidden_layers=(32, 16), activation="relu")
    learn_memberships: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("architecture", {}), Mapping):
            return value
        defaults = PERCEPTRON if value.get("type", "mlp") == "mlp" else RECURRENT
        return {**value, "architecture": {**defaults, **_given(value.get("architecture", {}))}}


class CostModel(Part):
    round_trip_cost: float = Field(0.003, ge=0.0, lt=0.5)
    min_edge_multiplier: Annotated[float, Field(ge=0.0)] | None = None


class Filters(Part):
    min_signal_separation: Annotated[int, Field(ge=0, le=10_000)] | None = None
    volume_filter: bool | None = None


class Risk(Part):
    """How much is put at risk. Stops and profits are fractions of the entry price, a trailing stop one
    of the best price since; `position_fraction` is of a symbol's share of the equity."""

    stop_loss: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    take_profit: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    trailing_stop: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    position_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    shorts: bool | None = None


class Decisions(Part):
    """`num_classes` is None for regression, and filled in from the labels otherwise."""

    output_format: Literal["classification", "regression"] = "classification"
    num_classes: Annotated[int, Field(ge=2, le=10)] | None = None
    confidence_threshold: float = Field(0.4, ge=0.0, le=1.0)
    cost_model: CostModel = CostModel()
    position_awareness: bool | None = None
    filters: Filters | None = None
    risk: Risk | None = None


LABELS: Mapping[str, Mapping[str, Any]] = {
    "forward_return": {"horizon": 5},
    "zigzag": {"zigzag_threshold": 0.02, "label_lookahead": 20},
    "triple_barrier": {
        "pt_multiplier": 2.0,
        "sl_multiplier": 2.0,
        "max_holding_period": 20,
        "vol_span": 100,
        "vol_method": "ewm",
    },
}
ATR_NAMES = {"profit_target_atr", "stop_loss_atr", "atr_period"}


class Labels(Part):
    """What is learnt; the keys of other sources are None."""

    source: Literal["forward_return", "zigzag", "triple_barrier", "regime", "context"] = "forward_return"
    horizon: Bars | None = None
    zigzag_threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    label_lookahead: Bars | None = None
    pt_multiplier: Positive | None = _also(None, "pt_multiplier", "profit_target_atr")
    sl_multiplier: Positive | None = _also(None, "sl_multiplier", "stop_loss_atr")
    max_holding_period: Bars | None = _also(None, "max_holding_period", "max_holding_bars")
    vol_span: Bars | None = _also(None, "vol_span", "atr_period")
    vol_method: Literal["ewm", "rolling", "atr"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        source = value.get("source", "forward_return")
        if source in ("regime", "context"):
            defaults = {"horizon": value.get("label_lookahead") or 20}
        else:
            defaults = dict(LABELS.get(source, {})) if isinstance(source, str) else {}
        if ATR_NAMES & value.keys():  # the names that count in ATRs
            defaults |= {"vol_method": "atr", "vol_span": 14}
        aliases = {"pt_multiplier": "profit_target_atr", "sl_multiplier": "stop_loss_atr"}
        aliases |= {"max_holding_period": "max_holding_bars", "vol_span": "atr_period"}
        wanted = {key: one for key, one in defaults.items() if aliases.get(key) not in value}
        return {**wanted, **_given(value)}


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
    """Shares of the rows, in the order of time."""

    train: float = Field(gt=0.0, lt=1.0)
    validation: Share
    test: Share = 0.0


class Training(Part):
    """Rows are split by `data_split` (or `validation_split`) into one fit, else by `walk_forward`.

    Beside `walk_forward`, `validation_split` is the share of each fold's rows that early stopping watches.
    """

    epochs: int = Field(60, ge=1, le=10_000)
    batch_size: int = Field(256, ge=1, le=65_536)
    learning_rate: float = Field(0.001, gt=0.0, le=1.0)
    loss: Literal["cross_entropy", "focal", "huber"] | None = None
    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    momentum: Share | None = None
    class_weights: Literal["balanced"] | tuple[Positive, ...] | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$")] | None = None
    focal_gamma: Annotated[float, Field(ge=0.0, le=20.0)] | None = None
    huber_delta: Positive | None = None
    gradient_clip: Positive | None = None
    lr_scheduler: LrScheduler | None = None
    early_stopping: EarlyStopping | None = None
    data_split: DataSplit | None = None
    validation_split: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    labels: Labels = Labels(horizon=5)
    walk_forward: WalkForward | None = None
    ensemble: int = Field(3, ge=1, le=20)

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        split = value.get("data_split") is not None or (
            value.get("validation_split") is not None and value.get("walk_forward") is None
        )
        defaults: dict[str, Any] = {"ensemble": 1} if split else {"walk_forward": {}}
        return {**defaults, **_given(value)}


class Strategy(Part):
    """A whole strategy with every default filled in."""

    name: Name
    version: Literal["3.0"]
    description: str = Field("", max_length=2000)
    training_data: TrainingData
    indicators: dict[Id, Indicator] = Field(min_length=1)
    fuzzy_sets: dict[Id, FuzzySet] = {}
    nn_inputs: tuple[Input, ...] = Field(min_length=1)
    model: Model = Model()
    decisions: Decisions = Decisions()
    training: Training = Training(walk_forward=WalkForward())
    scope: Kept = None
    context_data: Kept = None
    deployment: Kept = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        """The classes come from the labels, the loss from the output."""
        if not isinstance(value, Mapping):
            return value
        decisions, training = value.get("decisions", {}), value.get("training", {})
        if not isinstance(decisions, Mapping) or not isinstance(training, Mapping):
            return value
        labels = training.get("labels", {})
        source = labels.get("source", "forward_return") if isinstance(labels, Mapping) else ""
        if decisions.get("output_format", "classification") == "regression":
            training = {"loss": "huber", **_given(training)}
        elif isinstance(source, str) and source in DEFAULT_CLASSES:
            decisions = {"num_classes": DEFAULT_CLASSES[source], **_given(decisions)}
            training = {"loss": "cross_entropy", **_given(training)}
        return {**value, "decisions": decisions, "training": training}

    def to_config(self) -> dict[str, Any]:
        """Plain JSON that reads back to an equal strategy."""
        return self.model_dump(mode="json", exclude_none=True)

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
