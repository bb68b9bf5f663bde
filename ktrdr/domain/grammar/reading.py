"""Text of a strategy (YAML, or JSON, which is read as YAML) into plain values, and the line of each path.

The text may come from a stranger: its size, its depth, its number of values and what aliases unfold
to are bounded, and only plain values are made, never an object that a tag names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ktrdr.domain.grammar.faults import Fault, fault

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 20_000
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True)
class Reading:
    """What a text says. `lines`: path → line, from 1; `errors`: why it can't be read."""

    value: Any = None
    lines: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[Fault, ...] = ()


class _Refused(Exception):
    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(message)
        self.path, self.line = path, line


class _Composer(yaml.SafeLoader):
    """Nodes with their marks, within bounds. Dates stay text; `1e-3` is a number, as in JSON."""

    depth = values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self.depth += 1
        self.values += 1
        if self.depth > MAX_DEPTH:
            raise _Refused("", mark.line + 1, f"values are nested at most {MAX_DEPTH} deep")
        if self.values > MAX_VALUES:
            raise _Refused("", mark.line + 1, f"a strategy has at most {MAX_VALUES} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _resolvers() -> dict[str, list[tuple[str, Any]]]:
    """YAML 1.1 without dates."""
    kept = yaml.SafeLoader.yaml_implicit_resolvers
    dates = "tag:yaml.org,2002:timestamp"
    return {first: [one for one in found if one[0] != dates] for first, found in kept.items()}


_Composer.yaml_implicit_resolvers = _resolvers()
_Composer.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


class _Builder:
    """Plain values of composed nodes; counts what aliases unfold to."""

    def __init__(self, loader: _Composer) -> None:
        self.loader = loader
        self.lines: dict[str, int] = {}
        self.errors: list[Fault] = []
        self.built = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.built += 1
        if self.built > MAX_VALUES or depth > MAX_DEPTH:
            raise _Refused(path, line, "its aliases unfold to too much; write the values out")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(one, _below(path, at), depth + 1) for at, one in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in PLAIN_TAGS:
            return self._scalar(node, path, line)
        raise _Refused(path, line, f"the tag '{node.tag[:60]}' is not allowed; only plain values are")

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise _Refused(path, line, "a key is plain text; merge keys ('<<') are not read")
            name = _text(key)
            place = _below(path, name)
            if name in made:
                message = f"'{name[:60]}' is there twice; first in line {self.lines[place]}"
                self.errors.append(fault(place, message) | {"line": line})
            self.lines[place] = line
            made[name] = self.build(value, place, depth + 1)
        return made

    def _scalar(self, node: yaml.ScalarNode, path: str, line: int) -> Any:
        if node.tag.endswith(":str"):
            return _text(node)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise _Refused(path, line, "this is not a number that can be read") from error


def read_strategy(text: str) -> Reading:
    """The values of a text. Never raises for what is in it."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return Reading(errors=(fault("", f"a strategy file has at most {MAX_BYTES} bytes"),))
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, YAML may not
    try:
        loader = _Composer(text)
        node = loader.get_single_node()
        if node is None:
            return Reading(errors=(fault("", "the file is empty"),))
        builder = _Builder(loader)
        value = builder.build(node, "", 1)
    except _Refused as refused:
        return Reading(errors=(fault(refused.path, str(refused)) | {"line": refused.line},))
    except yaml.YAMLError as error:
        return Reading(errors=(_syntax(error),))
    return Reading(value, builder.lines, tuple(builder.errors))


def line_of(lines: Mapping[str, int], path: str) -> int | None:
    """The line of a path; what is not written has the line of what it would be in."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path)


def _text(node: yaml.ScalarNode) -> str:
    """JSON writes what is beyond the basic plane as two escapes."""
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _below(path: str, part: str | int) -> str:
    return f"{path}.{part}" if path else str(part)


def _syntax(error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    found = fault("", f"this is neither YAML nor JSON: {problem}")
    return found if mark is None else found | {"line": mark.line + 1}
