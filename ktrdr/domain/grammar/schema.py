"""The grammar as JSON Schema (draft 2020-12), for editors. References and orders only `check` can see."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ktrdr.domain.grammar.indicators import ALIASES, CATALOGUE, SOURCES, TYPE_ALIASES
from ktrdr.domain.grammar.parts import DateRange, Input, Labels, Strategy, Timeframe
from ktrdr.domain.grammar.shapes import POINTS

Schema = dict[str, Any]


def json_schema() -> Schema:
    """One document that an editor can complete from and underline with."""
    schema = Strategy.model_json_schema()
    parts = schema["$defs"]
    parts["Indicator"] = {"anyOf": [_indicator(kind) for kind in CATALOGUE]}
    parts["Membership"] = {"anyOf": [_points(), *(_shape(kind) for kind in POINTS)]}
    parts["FuzzySet"] = {
        "type": "object",
        "required": ["indicator"],
        "properties": {"indicator": {"type": "string", "description": "id, or id.output"}},
        "additionalProperties": {"$ref": "#/$defs/Membership"},
        "minProperties": 2,
    }
    schema["properties"]["indicators"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"$ref": "#/$defs/Indicator"},
    }
    timeframe = {"enum": list(Timeframe.__args__)}  # type: ignore[attr-defined]
    parts[Input.__name__]["properties"]["timeframes"] = {
        "anyOf": [{"const": "all"}, {"type": "array", "minItems": 1, "items": timeframe}],
        "default": "all",
    }
    for model in (DateRange, Labels):
        _add_aliases(parts[model.__name__], model)
    parts[DateRange.__name__].pop("required")
    parts[DateRange.__name__]["minProperties"] = 2
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "ktrdr strategy 3.0",
    }


def _add_aliases(part: Schema, model: type[BaseModel]) -> None:
    for field in model.model_fields.values():
        first, *others = getattr(field.validation_alias, "choices", (None,))
        for alias in others:
            part["properties"][alias] = part["properties"][first]


def _indicator(kind: str) -> Schema:
    defaults, outputs = CATALOGUE[kind]
    short = {full: alias for alias, full in ALIASES.items()}
    numbers: Schema = {}
    for name, default in defaults.items():
        whole = isinstance(default, int)
        number = {"type": "integer" if whole else "number", "default": default, "maximum": 1000}
        number |= {"minimum": 1} if whole else {"exclusiveMinimum": 0}
        numbers[name] = number
        if name in short:
            numbers[short[name]] = number
    names = [kind, *(alias for alias, known in TYPE_ALIASES.items() if known == kind)]
    properties = {
        "type": {"anyOf": [{"enum": names}, *({"pattern": _any_case(name)} for name in names)]},
        "source": {"enum": list(SOURCES), "default": "close"},
        "data_source": {"type": "string", "description": "another symbol to compute it on"},
        "parameters": {"type": "object", "properties": numbers, "additionalProperties": False},
        **numbers,
    }
    return {
        "type": "object",
        "required": ["type"],
        "properties": properties,
        "additionalProperties": False,
        "description": f"{kind}; outputs: {', '.join(outputs)}",
    }


def _any_case(name: str) -> str:
    """`rsi` → `^[rR][sS][iI]$`, with separators between the letters."""
    return "^" + "[-_ ]*".join(f"[{one}{one.upper()}]" for one in name) + "$"


def _points() -> Schema:
    return {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 4}


def _shape(kind: str) -> Schema:
    count = POINTS[kind]
    parameters = {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "required": ["type", "parameters"],
        "properties": {"type": {"const": kind}, "parameters": parameters},
        "additionalProperties": False,
    }
