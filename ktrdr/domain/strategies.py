"""The strategy grammar: one validator for designer, API, trainer and backtest.

A part of GRAMMAR 3.0 that is known but not acted on yet is refused by name, with what is allowed;
nothing is dropped in silence. All errors of a strategy are reported at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.grammar.checking import MAX_FAULTS, VERSION_2, check, is_version_2
from ktrdr.domain.grammar.consistency import as_mapping, output_faults
from ktrdr.domain.grammar.faults import Fault, choices, model_at, nearest, uncovered, unknown
from ktrdr.domain.grammar.indicators import (
    ALIASES,
    CATALOGUE,
    FROM_ONE,
    INDICATORS,
    SHORTEST,
    kind_of,
    parameter_faults,
)
from ktrdr.domain.market import DATASETS

__all__ = [
    "FROM_ONE",
    "INDICATORS",
    "SHORTEST",
    "Indicator",
    "Membership",
    "Strategy",
    "parse_strategy",
    "refusals",
    "split_reference",
    "strategy_sha256",
]

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]

# Parts of grammar 3.0 that are refused by name: keys by their parent's path, values by their own.
LATER_KEYS: Mapping[str, str] = {
    "": "scope context_data deployment",
    "training_data.symbols": "list",
    "training_data.timeframes": "list base_timeframe",
    "model.architecture": "sequence_length hidden_size num_layers",
    "decisions": "position_awareness filters",
    "decisions.cost_model": "min_edge_multiplier",
    "training": "gradient_clip lr_scheduler early_stopping data_split validation_split focal_gamma "
    "huber_delta",
    "training.labels": "zigzag_threshold label_lookahead pt_multiplier sl_multiplier max_holding_period "
    "vol_span vol_method profit_target_atr stop_loss_atr max_holding_bars atr_period",
}
LATER_VALUES: Mapping[str, tuple[str, ...]] = {
    "training_data.symbols.mode": ("multi_symbol",),
    "training_data.timeframes.mode": ("multi_timeframe",),
    "model.type": ("lstm", "gru"),
    "decisions.output_format": ("regression",),
    "training.loss": ("focal", "huber"),
    "training.labels.source": ("zigzag", "triple_barrier", "regime", "context"),
}
LATER = "is part of grammar 3.0 but is not acted on yet"
POINTS: Mapping[str, int] = {"triangular": 3, "trapezoidal": 4, "gaussian": 2, "sigmoid": 2}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Symbols(_Part):
    mode: Literal["single"] = "single"
    symbol: Name

    @model_validator(mode="after")
    def _known(self) -> Self:
        symbols = [spec.symbol for spec in DATASETS.values()]
        if self.symbol not in symbols:
            raise ValueError(f"there is no data for symbol '{self.symbol}'{nearest(self.symbol, symbols)}")
        return self


class Timeframes(_Part):
    mode: Literal["single"] = "single"
    timeframe: Literal["1d"] = "1d"


class DateRange(_Part):
    start: date = Field(validation_alias=AliasChoices("start", "start_date"))
    end: date = Field(validation_alias=AliasChoices("end", "end_date"))

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"the range ends on {self.end}, not after its start, {self.start}")
        return self


class TrainingData(_Part):
    symbols: Symbols
    timeframes: Timeframes = Timeframes()
    date_range: DateRange | None = None
    history_required: int = Field(100, ge=0, le=2000)


class Indicator(_Part):
    """One indicator with every parameter filled in."""

    type: str
    source: Literal["close"] = "close"
    parameters: dict[str, int | float]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "type" not in value:
            raise ValueError("an indicator is a mapping with a type")
        kind = kind_of(value["type"])
        if kind in CATALOGUE and kind not in INDICATORS:
            raise ValueError(f"indicator type '{kind}' {LATER}; allowed: {', '.join(INDICATORS)}")
        if kind not in INDICATORS:
            raise ValueError(f"unknown indicator type '{value['type']}'{nearest(kind, INDICATORS)}")
        defaults = INDICATORS[kind][0]
        if "data_source" in value:
            raise ValueError(f"data_source {LATER}")
        given: dict[str, Any] = {
            ALIASES.get(str(k), str(k)): v
            for k, v in value.items()
            if k not in ("type", "source", "parameters")
        }
        nested = value.get("parameters", {})
        if not isinstance(nested, Mapping):
            raise ValueError("parameters is a mapping from name to number")
        given |= nested
        wrong = [fault for name, number in given.items() for fault in parameter_faults(kind, name, number)]
        whole = {**defaults, **given}
        if not wrong and kind == "macd" and whole["fast_period"] >= whole["slow_period"]:
            wrong = [f"fast_period {whole['fast_period']} is not below slow_period {whole['slow_period']}"]
        if wrong:
            raise ValueError("; ".join(wrong))
        return {
            "type": kind,
            "source": value.get("source", "close"),
            "parameters": whole,
        }


class Membership(_Part):
    """One label of a fuzzy set: the shape and its parameters."""

    type: Literal["triangular", "trapezoidal", "gaussian", "sigmoid"]
    parameters: tuple[float, ...]

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            shapes = {3: "triangular", 4: "trapezoidal"}
            if len(value) not in shapes:
                raise ValueError(f"3 points are triangular and 4 trapezoidal; these are {len(value)}")
            return {"type": shapes[len(value)], "parameters": value}
        return value

    @model_validator(mode="after")
    def _points(self) -> Self:
        wanted = POINTS[self.type]
        if len(self.parameters) != wanted:
            raise ValueError(f"{self.type} takes {wanted} parameters; these are {len(self.parameters)}")
        if self.type in ("triangular", "trapezoidal"):
            if list(self.parameters) != sorted(self.parameters) or self.parameters[0] == self.parameters[-1]:
                raise ValueError("the points rise from left to right")
        elif self.parameters[1] == 0 or (self.type == "gaussian" and self.parameters[1] < 0):
            raise ValueError("the width (sigma, or slope) is not zero, and a sigma is positive")
        return self


class FuzzySet(_Part):
    """An interpretation of one indicator output."""

    indicator: str
    labels: dict[Label, Membership] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "labels" not in value:
            labels = {name: one for name, one in value.items() if name != "indicator"}
            return {**{k: v for k, v in value.items() if k == "indicator"}, "labels": labels}
        return value


class Input(_Part):
    """One entry of nn_inputs: a fuzzy set, or a raw indicator that is scaled on training bars."""

    fuzzy_set: str | None = None
    raw_indicator: str | None = None
    timeframes: Literal["all"] | tuple[Literal["1d"], ...] = "all"
    normalization: Literal["zscore"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.fuzzy_set is None) == (self.raw_indicator is None):
            raise ValueError("an input names either a fuzzy_set or a raw_indicator")
        if self.raw_indicator is not None and self.normalization is None:
            raise ValueError("a raw_indicator needs a normalization; allowed: zscore")
        return self


class Architecture(_Part):
    hidden_layers: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (32, 16), min_length=1, max_length=8
    )
    activation: Literal["relu", "tanh", "gelu"] = "relu"
    dropout: float = Field(0.0, ge=0.0, lt=1.0)


class Model(_Part):
    type: Literal["mlp"] = "mlp"
    architecture: Architecture = Architecture()


class CostModel(_Part):
    round_trip_cost: float = Field(0.003, ge=0.0, lt=0.5)


class Decisions(_Part):
    output_format: Literal["classification"] = "classification"
    num_classes: Literal[3] = 3
    confidence_threshold: float = Field(0.4, ge=0.0, le=1.0)
    cost_model: CostModel = CostModel()


class Labels(_Part):
    source: Literal["forward_return"] = "forward_return"
    horizon: int = Field(5, ge=1, le=250)


class WalkForward(_Part):
    folds: int = Field(4, ge=1, le=20)
    initial_fraction: float = Field(0.4, ge=0.1, le=0.9)


class Training(_Part):
    epochs: int = Field(60, ge=1, le=10_000)
    batch_size: int = Field(256, ge=8, le=65_536)
    learning_rate: float = Field(0.001, gt=0.0, le=1.0)
    loss: Literal["cross_entropy"] = "cross_entropy"
    labels: Labels = Labels()
    walk_forward: WalkForward = WalkForward()
    ensemble: int = Field(3, ge=1, le=20)


class Strategy(_Part):
    """A whole strategy, validated and with every default written out."""

    name: Name
    version: Literal["3.0"]
    description: str = Field("", max_length=2000)
    training_data: TrainingData
    indicators: dict[Label, Indicator] = Field(min_length=1)
    fuzzy_sets: dict[Label, FuzzySet] = {}
    nn_inputs: tuple[Input, ...] = Field(min_length=1)
    model: Model = Model()
    decisions: Decisions = Decisions()
    training: Training = Training()

    def to_config(self) -> dict[str, Any]:
        """Plain JSON that `parse_strategy` reads back to an equal strategy."""
        return self.model_dump(mode="json", exclude_none=True)


def parse_strategy(config: Mapping[str, Any]) -> Strategy:
    """The strategy, or InvalidInput with every error: path, message, and what was found.

    What is run is a part of the grammar; an error of either refuses the strategy.
    """
    if isinstance(config, Mapping) and is_version_2(config):
        raise InvalidInput(
            VERSION_2, {"errors": [{"path": "version", "message": "version 2 is not read any more"}]}
        )
    strategy, errors = _run_today(config)
    errors += uncovered(check(config)[1], errors)
    if errors or strategy is None:
        raise _invalid(errors)
    return strategy


def refusals(config: Mapping[str, Any]) -> list[Fault]:
    """What this version does not run of a strategy that may be valid in the whole grammar."""
    return _run_today(config)[1]


def _run_today(config: Any) -> tuple[Strategy | None, list[Fault]]:
    if not isinstance(config, Mapping):
        return None, [{"path": "", "message": f"a strategy is a mapping, not {type(config).__name__}"}]
    errors = list(islice(_dangling(config), MAX_FAULTS))
    try:
        strategy = Strategy.model_validate(config)
    except ValidationError as invalid:
        return None, [_described(one) for one in islice(invalid.errors(), MAX_FAULTS)] + errors
    return strategy, errors


def strategy_sha256(strategy: Strategy) -> str:
    """Names a strategy by what it says."""
    return sha256_of(strategy.to_config())


def split_reference(reference: str) -> tuple[str, str | None]:
    """`macd_1.histogram` → ("macd_1", "histogram")."""
    name, _, output = reference.partition(".")
    return name, output or None


def _dangling(config: Mapping[str, Any]) -> Iterator[Fault]:
    """References to nothing. Reads the raw mapping, so that other errors do not hide them."""
    indicators, sets = as_mapping(config.get("indicators")), as_mapping(config.get("fuzzy_sets"))
    for name, fuzzy in sets.items():
        reference = as_mapping(fuzzy).get("indicator")
        yield from output_faults(indicators, reference, f"fuzzy_sets.{name}.indicator")
    inputs = config.get("nn_inputs")
    for position, entry in enumerate(inputs if isinstance(inputs, list | tuple) else ()):
        path, one = f"nn_inputs.{position}", as_mapping(entry)
        yield from output_faults(indicators, one.get("raw_indicator"), f"{path}.raw_indicator")
        fuzzy_set = one.get("fuzzy_set")
        if isinstance(fuzzy_set, str) and fuzzy_set not in sets:
            yield unknown(f"{path}.fuzzy_set", "fuzzy set", fuzzy_set, sets)


def _described(error: Any) -> dict[str, Any]:
    """One error of pydantic in the grammar's words; in a fuzzy set's path `labels` is implied."""
    loc, found, kind = error["loc"], error.get("input"), error["type"]
    shown_loc = [part for at, part in enumerate(loc) if not (part == "labels" and at == 2)]
    parent, path = ".".join(str(one) for one in loc[:-1]), ".".join(str(one) for one in shown_loc)
    plain = isinstance(found, str | int | bool) or (isinstance(found, float) and math.isfinite(found))
    message = str(error["msg"]).removeprefix("Value error, ")
    described = {"path": path, "message": message, "found": found if plain else None}
    if kind == "extra_forbidden":
        key, allowed = str(loc[-1]), list(model_at(Strategy, loc[:-1]).model_fields)
        later = key in LATER_KEYS.get(parent, "").split()
        described["message"] = f"'{key}' {LATER}" if later else f"unknown key '{key}'{nearest(key, allowed)}"
        return described | ({} if later else choices(key, allowed))
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"]) or [error["ctx"]["expected"]]
        later = isinstance(found, str) and found in LATER_VALUES.get(path, ())
        what = f"'{found}' {LATER}; allowed: {', '.join(allowed)}" if later else message
        return described | {"message": what} | choices(str(found), allowed)
    return described


def _invalid(errors: list[dict[str, Any]]) -> InvalidInput:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = f"{first['path']}: " if first["path"] else ""
    return InvalidInput(f"The strategy is not valid: {where}{first['message']}{more}.", {"errors": errors})
