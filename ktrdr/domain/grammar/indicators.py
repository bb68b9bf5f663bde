"""The indicators of the grammar: parameters with their defaults, outputs, and the names in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ktrdr.domain.grammar.faults import Fault, choices, fault, nearest

Parameters = Mapping[str, int | float]
Catalogue = Mapping[str, tuple[Parameters, tuple[str, ...]]]

VALUE = ("value",)
BANDS = ("upper", "middle", "lower")
# The first output is the one without a dot.
CATALOGUE: Catalogue = {
    "rsi": ({"period": 14}, VALUE),
    "roc": ({"period": 10}, VALUE),
    "adx": ({"period": 14}, VALUE),
    "cci": ({"period": 20}, VALUE),
    "williamsr": ({"period": 14}, VALUE),
    "mfi": ({"period": 14}, VALUE),
    "ema": ({"period": 20}, VALUE),
    "sma": ({"period": 20}, VALUE),
    "atr": ({"period": 14}, VALUE),
    "macd": ({"fast_period": 12, "slow_period": 26, "signal_period": 9}, ("line", "signal", "histogram")),
    "stochastic": ({"k_period": 14, "d_period": 3, "smooth_k": 3}, ("k", "d")),
    "bollinger": ({"period": 20, "multiplier": 2.0}, BANDS),
    "bollingerbandwidth": ({"period": 20, "multiplier": 2.0}, VALUE),
    "squeezeintensity": ({"period": 20}, VALUE),
    "obv": ({}, VALUE),
    "aroon": ({"period": 14}, ("up", "down", "oscillator")),
    "donchian": ({"period": 20}, BANDS),
    "keltner": ({"period": 20, "atr_period": 10, "multiplier": 2.0}, BANDS),
    "supertrend": ({"period": 10, "multiplier": 3.0}, ("trend", "direction")),
    "ichimoku": (
        {"tenkan_period": 9, "kijun_period": 26, "senkou_period": 52, "displacement": 26},
        ("tenkan", "kijun", "senkou_a", "senkou_b"),
    ),
    "vwap": ({"period": 20}, VALUE),
    "cmf": ({"period": 20}, VALUE),
    "parabolicsar": ({"step": 0.02, "maximum": 0.2}, VALUE),
    "momentum": ({"period": 10}, VALUE),
    "volumeratio": ({"period": 20}, VALUE),
    "adline": ({}, VALUE),
    "rvi": ({"period": 10}, ("value", "signal")),
    "fishertransform": ({"period": 10}, ("value", "signal")),
    "distancefromma": ({"period": 20}, VALUE),
}
INDICATORS = CATALOGUE  # every one of them is computed
# What is read whatever the source says: by definition these have no single series to choose.
READS_BARS: Mapping[str, str] = {
    "adx": "high, low and close",
    "cci": "high, low and close",
    "williamsr": "high, low and close",
    "mfi": "high, low, close and volume",
    "atr": "high, low and close",
    "stochastic": "high, low and close",
    "squeezeintensity": "high, low and close",
    "obv": "close and volume",
    "aroon": "high and low",
    "donchian": "high and low",
    "keltner": "high, low and close",
    "supertrend": "high, low and close",
    "ichimoku": "high and low",
    "vwap": "high, low, close and volume",
    "cmf": "high, low, close and volume",
    "parabolicsar": "high and low",
    "volumeratio": "volume",
    "adline": "high, low, close and volume",
    "rvi": "open, high, low and close",
    "fishertransform": "high and low",
}
TYPE_ALIASES = {
    "bollingerbands": "bollinger",
    "bbands": "bollinger",
    "stoch": "stochastic",
    "psar": "parabolicsar",
    "sar": "parabolicsar",
    "fisher": "fishertransform",
    "ad": "adline",
}
ALIASES = {"fast": "fast_period", "slow": "slow_period", "signal": "signal_period"}
# What TA-Lib takes; else 1.
SHORTEST: Parameters = {
    "period": 2,
    "fast_period": 2,
    "slow_period": 2,
    "tenkan_period": 2,
    "kijun_period": 2,
    "senkou_period": 2,
}
FROM_ONE = ("roc", "atr", "momentum")  # a period of 1 is meaningful here
SOURCES = ("close", "open", "high", "low", "volume", "hl2", "hlc3", "ohlc4")
KEYS = ("type", "source", "data_source", "parameters")


def kind_of(written: Any) -> str:
    """`Bollinger_Bands` → `bollinger`; a type that is not known comes back in lower case."""
    lower = str(written).lower()
    plain = lower.translate({ord(one): None for one in "_- "})
    kind = TYPE_ALIASES.get(plain, plain)
    return kind if kind in CATALOGUE else lower


def parameters_of(definition: Mapping[Any, Any]) -> dict[str, Any]:
    """Every parameter that was given, by its full name; nested ones too."""
    nested = definition.get("parameters", {})
    flat = {ALIASES.get(str(name), str(name)): one for name, one in definition.items() if name not in KEYS}
    return flat | (dict(nested) if isinstance(nested, Mapping) else {})


def parameter_faults(kind: str, name: str, number: Any) -> Iterator[str]:
    """What is wrong with one parameter of an indicator."""
    defaults = CATALOGUE[kind][0]
    if name not in defaults:
        yield f"{kind} has no parameter '{name}'{nearest(name, defaults)}"
    elif isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 1000:
        yield f"{name} is a number above 0 and up to 1000, not {shown(number)}"
    elif isinstance(defaults[name], int) and not isinstance(number, int):
        yield f"{name} is a whole number of bars, not {number!r}"
    elif kind not in FROM_ONE and number < SHORTEST.get(name, 0):
        yield f"{name} of {kind} is at least {SHORTEST[name]}, not {number}"


def definition_faults(path: str, definition: Any) -> Iterator[Fault]:
    """Everything that is wrong with one indicator, each at its own path."""
    if not isinstance(definition, Mapping) or "type" not in definition:
        yield fault(path, "an indicator is a mapping with a type", definition)
        return
    kind = kind_of(definition["type"])
    if kind not in CATALOGUE:
        found = str(definition["type"])
        message = f"unknown indicator type {shown(found)}{nearest(kind, CATALOGUE)}"
        yield fault(f"{path}.type", message, found) | choices(kind, CATALOGUE)
        return
    yield from _series_faults(path, definition)
    source = definition.get("source", "close")
    if kind in READS_BARS and source in SOURCES and source != "close":
        message = f"{kind} reads {READS_BARS[kind]}; a source is for indicators that read one series"
        yield fault(f"{path}.source", message, source) | {"allowed": ["close"]}
    for place, name, number in _written(path, definition):
        for message in parameter_faults(kind, name, number):
            extra = {} if name in CATALOGUE[kind][0] else choices(name, CATALOGUE[kind][0])
            yield fault(place, message, number) | extra
    whole = {**CATALOGUE[kind][0], **parameters_of(definition)}
    if kind == "macd" and _are_numbers(whole) and whole["fast_period"] >= whole["slow_period"]:
        yield fault(
            path, f"fast_period {whole['fast_period']} is not below slow_period {whole['slow_period']}"
        )


def shown(value: Any) -> str:
    """A value in a message, of a bounded length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _series_faults(path: str, definition: Mapping[Any, Any]) -> Iterator[Fault]:
    source = definition.get("source", "close")
    if source not in SOURCES:
        message = f"unknown source {shown(source)}{nearest(str(source), SOURCES)}"
        yield fault(f"{path}.source", message, source) | choices(str(source), SOURCES)
    other = definition.get("data_source", "x")
    if not isinstance(other, str) or not other:
        yield fault(f"{path}.data_source", "data_source is the name of another symbol", other)
    if not isinstance(definition.get("parameters", {}), Mapping):
        yield fault(f"{path}.parameters", "parameters is a mapping from name to number")


def _written(path: str, definition: Mapping[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    """(path as written, full name, value) of each parameter."""
    for name, number in definition.items():
        if name not in KEYS:
            yield f"{path}.{name}", ALIASES.get(str(name), str(name)), number
    nested = definition.get("parameters")
    for name, number in nested.items() if isinstance(nested, Mapping) else ():
        yield f"{path}.parameters.{name}", str(name), number


def _are_numbers(values: Mapping[str, Any]) -> bool:
    return all(isinstance(one, int | float) for one in values.values())
