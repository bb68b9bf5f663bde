"""What no single key can say: references, points, and keys that depend on the value of another.

It reads the raw mapping, so that a mistake elsewhere hides none of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from ktrdr.domain.grammar.faults import Fault, fault, unknown
from ktrdr.domain.grammar.indicators import CATALOGUE, definition_faults, kind_of, shown
from ktrdr.domain.grammar.parts import Timeframe
from ktrdr.domain.grammar.shapes import is_number, membership_faults
from ktrdr.domain.labels import CLASSES, DEFAULT_CLASSES, SHORTEST_VOL_SPAN

TIMEFRAMES: tuple[str, ...] = get_args(Timeframe)
# Which keys go with which value of another key: (mapping, key, what it is when left out, value → keys).
DEPENDENT: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("training_data.symbols", "mode", "single", {"single": "symbol", "multi_symbol": "list"}),
    (
        "training_data.timeframes",
        "mode",
        "single",
        {"single": "timeframe", "multi_timeframe": "list base_timeframe"},
    ),
    (
        "training.labels",
        "source",
        "forward_return",
        {
            "forward_return": "horizon",
            "zigzag": "zigzag_threshold label_lookahead",
            "triple_barrier": "pt_multiplier sl_multiplier max_holding_period vol_span vol_method "
            "profit_target_atr stop_loss_atr max_holding_bars atr_period",
            "regime": "horizon label_lookahead",
            "context": "horizon label_lookahead",
        },
    ),
    (
        "training",
        "loss",
        "",
        {"cross_entropy": "", "focal": "focal_gamma", "huber": "huber_delta"},
    ),
    (
        "training",
        "optimizer",
        "adam",
        {"adam": "", "adamw": "weight_decay", "sgd": "weight_decay momentum"},
    ),
    (
        "training.lr_scheduler",
        "type",
        "cosine",
        {
            "none": "",
            "cosine": "min_lr",
            "step": "step_size gamma min_lr",
            "exponential": "gamma min_lr",
            "plateau": "patience gamma min_lr",
        },
    ),
    (
        "decisions",
        "output_format",
        "classification",
        {"classification": "num_classes", "regression": ""},
    ),
)
RECURRENT = "sequence_length hidden_size num_layers dropout"
ARCHITECTURES = {"mlp": "hidden_layers activation dropout", "lstm": RECURRENT, "gru": RECURRENT}
LOSSES = {"classification": ("cross_entropy", "focal"), "regression": ("huber",)}


def inconsistencies(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Every mistake that takes two places to see."""
    indicators = as_mapping(config.get("indicators"))
    for name, definition in indicators.items():
        yield from definition_faults(f"indicators.{name}", definition)
    for name, fuzzy in as_mapping(config.get("fuzzy_sets")).items():
        yield from _fuzzy_set(f"fuzzy_sets.{name}", as_mapping(fuzzy), indicators)
    yield from _inputs(config, indicators)
    for path, key, default, table in DEPENDENT:
        part = as_mapping(_at(config, path))
        yield from _dependent(path, part, f"{key} {part.get(key, default)}", part.get(key, default), table)
    model = as_mapping(config.get("model"))
    kind = model.get("type", "mlp")
    architecture = as_mapping(model.get("architecture"))
    yield from _dependent("model.architecture", architecture, f"type {kind}", kind, ARCHITECTURES)
    yield from _training_data(as_mapping(config.get("training_data")))
    yield from _training(as_mapping(config.get("training")), as_mapping(config.get("decisions")))


def as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def output_faults(indicators: Mapping[str, Any], reference: Any, path: str) -> Iterator[Fault]:
    """A reference `id` or `id.output` that leads nowhere."""
    if not isinstance(reference, str):
        return  # absent, or its type is an error already
    name, dot, output = reference.partition(".")
    if name not in indicators:
        yield unknown(path, "indicator", name, indicators)
        return
    known = CATALOGUE.get(kind_of(as_mapping(indicators[name]).get("type")))
    if known is not None and dot and output not in known[1]:
        yield unknown(path, "output", output, known[1])


def _fuzzy_set(path: str, fuzzy: Mapping[str, Any], indicators: Mapping[str, Any]) -> Iterator[Fault]:
    if not fuzzy:
        return
    yield from output_faults(indicators, fuzzy.get("indicator"), f"{path}.indicator")
    nested = isinstance(fuzzy.get("labels"), Mapping)
    labels = fuzzy["labels"] if nested else {k: v for k, v in fuzzy.items() if k != "indicator"}
    if not labels:
        yield fault(path, "a fuzzy set has at least one label with its points")
    for label, shape in labels.items():
        yield from membership_faults(f"{path}.labels.{label}" if nested else f"{path}.{label}", shape)


def _inputs(config: Mapping[str, Any], indicators: Mapping[str, Any]) -> Iterator[Fault]:
    sets, inputs = as_mapping(config.get("fuzzy_sets")), config.get("nn_inputs")
    known = _timeframes(as_mapping(_at(config, "training_data.timeframes")))
    for at, entry in enumerate(inputs if isinstance(inputs, list | tuple) else ()):
        if not isinstance(entry, Mapping):
            continue
        path, fuzzy_set, raw = f"nn_inputs.{at}", entry.get("fuzzy_set"), entry.get("raw_indicator")
        if (fuzzy_set is None) == (raw is None):
            yield fault(path, "an input names either a fuzzy_set or a raw_indicator")
        elif raw is not None and entry.get("normalization") is None:
            yield fault(path, "a raw_indicator needs a normalization; allowed: zscore")
        yield from output_faults(indicators, raw, f"{path}.raw_indicator")
        if isinstance(fuzzy_set, str) and fuzzy_set not in sets:
            yield unknown(f"{path}.fuzzy_set", "fuzzy set", fuzzy_set, sets)
        yield from _input_timeframes(f"{path}.timeframes", entry.get("timeframes", "all"), known)


def _input_timeframes(path: str, value: Any, known: tuple[str, ...]) -> Iterator[Fault]:
    if value == "all":
        return
    if not isinstance(value, list | tuple) or not value:
        allowed = ("all", *known)
        yield fault(path, f"timeframes is 'all' or a list of timeframes, not {shown(value)}", value) | {
            "allowed": list(allowed)
        }
        return
    for at, one in enumerate(value):
        if one not in known:
            yield unknown(f"{path}.{at}", "timeframe in training_data", str(one)[:80], known)


def _timeframes(part: Mapping[str, Any]) -> tuple[str, ...]:
    several = part.get("list")
    if part.get("mode") == "multi_timeframe" and isinstance(several, list | tuple):
        return tuple(one for one in several if isinstance(one, str))
    one = part.get("timeframe", "1d")
    return (one,) if isinstance(one, str) else TIMEFRAMES


def _dependent(
    path: str, part: Mapping[str, Any], why: str, choice: Any, table: Mapping[str, str]
) -> Iterator[Fault]:
    """Keys that belong to another value of the key they depend on."""
    if not isinstance(choice, str) or (choice and choice not in table):
        return  # an error already
    own = table.get(choice, "").split()
    others = {key for keys in table.values() for key in keys.split()} - set(own)
    for key in part:
        if key in others and part[key] is not None:
            owners = ", ".join(value for value, keys in table.items() if key in keys.split())
            given = f"not for {why}" if choice else "which is not given"
            yield fault(f"{path}.{key}", f"'{key}' is for {owners}, {given}", part[key]) | {"allowed": own}


def _training_data(part: Mapping[str, Any]) -> Iterator[Fault]:
    symbols, timeframes = as_mapping(part.get("symbols")), as_mapping(part.get("timeframes"))
    path = "training_data"
    for name, one, needed in (("symbols", symbols, "symbol"), ("timeframes", timeframes, "timeframe")):
        several = one.get("mode") == f"multi_{needed}"
        key = "list" if several else needed
        if one.get(key) is None and (several or (name == "symbols" and name in part)):
            mode = one.get("mode", "single")
            if mode in ("single", f"multi_{needed}"):
                yield fault(f"{path}.{name}", f"mode {mode} needs '{key}'")
        listed = one.get("list")
        if isinstance(listed, list | tuple) and len({str(x) for x in listed}) != len(listed):
            yield fault(f"{path}.{name}.list", "the list names one twice")
    base, known = timeframes.get("base_timeframe"), _timeframes(timeframes)
    if timeframes.get("mode") == "multi_timeframe" and isinstance(base, str) and base not in known:
        yield unknown(f"{path}.timeframes.base_timeframe", "timeframe in the list", base, known)
    dates = as_mapping(part.get("date_range"))
    start, end = (dates.get(name, dates.get(f"{name}_date")) for name in ("start", "end"))
    if start is not None and end is not None and str(start) >= str(end):
        yield fault(f"{path}.date_range", f"the range ends on {end}, not after its start, {start}")


def _training(training: Mapping[str, Any], decisions: Mapping[str, Any]) -> Iterator[Fault]:
    output, loss = decisions.get("output_format", "classification"), training.get("loss")
    every = {one for losses in LOSSES.values() for one in losses}
    if not isinstance(output, str) or output not in LOSSES:
        output = ""
    if output and isinstance(loss, str) and loss in every - set(LOSSES[output]):
        message = f"{loss} is not a loss for {output}; allowed: {', '.join(LOSSES[output])}"
        yield fault("training.loss", message, loss) | {"allowed": list(LOSSES[output])}
    yield from _classes(training, decisions, output)
    yield from _barriers(as_mapping(training.get("labels")))
    split = training.get("data_split")
    if split is not None and training.get("walk_forward") is not None:
        yield fault("training.walk_forward", "data_split and walk_forward both split the rows; keep one")
    if split is not None and training.get("validation_split") is not None:
        yield fault("training.validation_split", "data_split says it already; keep one of them")
    if isinstance(split, Mapping) and split.get("validation") in (0, 0.0):
        if as_mapping(training.get("early_stopping", {"enabled": False})).get("enabled", True):
            yield fault("training.early_stopping", "it watches validation rows, and data_split leaves none")
        if as_mapping(training.get("lr_scheduler")).get("type") == "plateau":
            yield fault("training.lr_scheduler", "plateau watches validation rows; data_split leaves none")
    shares = [as_mapping(split).get(name, 0.0) for name in ("train", "validation", "test")]
    if isinstance(split, Mapping) and all(is_number(one) for one in shares):
        total = sum(float(one) for one in shares)
        if abs(total - 1.0) > 1e-6:
            yield fault("training.data_split", f"train, validation and test make {total:g}, not 1")


def _classes(training: Mapping[str, Any], decisions: Mapping[str, Any], output: str) -> Iterator[Fault]:
    source = as_mapping(training.get("labels")).get("source", "forward_return")
    count, weights = decisions.get("num_classes"), training.get("class_weights")
    if not isinstance(source, str) or source not in CLASSES:
        return
    if output == "regression":
        if source != "forward_return":
            yield fault("training.labels.source", "regression learns the forward_return", source)
        if weights is not None:
            yield fault("training.class_weights", "class weights are for classification")
        return
    if isinstance(count, int) and count not in CLASSES[source]:
        allowed = ", ".join(str(one) for one in sorted(CLASSES[source]))
        yield fault("decisions.num_classes", f"labels of {source} have {allowed} classes", count)
    wanted = count or DEFAULT_CLASSES[source]
    if isinstance(weights, list | tuple) and len(weights) != wanted:
        yield fault("training.class_weights", f"{wanted} classes take {wanted} weights, not {len(weights)}")


def _barriers(labels: Mapping[str, Any]) -> Iterator[Fault]:
    method, span = labels.get("vol_method", "ewm"), labels.get("vol_span", labels.get("atr_period"))
    shortest = SHORTEST_VOL_SPAN.get(method, 1) if isinstance(method, str) else 1
    if isinstance(span, int) and span < shortest:
        yield fault("training.labels.vol_span", f"{method} needs at least {shortest} bars", span)


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = as_mapping(value).get(part)
    return value
