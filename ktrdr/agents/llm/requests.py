"""A request in one spelling, without what differs between two runs of the same conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

# Ids and times are made anew by each run; the rest is about the answer, not the question.
VOLATILE = frozenset(
    {"id", "metadata", "provider_details", "provider_name", "retry", "timestamp", "tool_call_id"}
)
TRANSPORT = frozenset({"timeout", "max_retries", "request_timeout"})


def canonical(
    model: str,
    messages: Sequence[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
) -> dict[str, Any]:
    """What a request's hash and its size are taken of: all that reaches the model, and nothing else."""
    return {
        "model": model,
        "messages": [_message(one) for one in ModelMessagesTypeAdapter.dump_python([*messages], mode="json")],
        "settings": {name: value for name, value in settings.items() if name not in TRANSPORT},
        "tools": _tools(parameters.function_tools),
        "output_tools": _tools(parameters.output_tools),
        "output": {
            "mode": parameters.output_mode,
            "text": parameters.allow_text_output,
            "schema": None if parameters.output_object is None else parameters.output_object.json_schema,
            "prompted": parameters.prompted_output_instructions,
        },
        "instructions": [part.content for part in parameters.instruction_parts or ()],
    }


def _message(dumped: Mapping[str, Any]) -> dict[str, Any]:
    parts = [{name: one for name, one in part.items() if name not in VOLATILE} for part in dumped["parts"]]
    return {"kind": dumped["kind"], "instructions": dumped.get("instructions"), "parts": parts}


def _tools(tools: Iterable[ToolDefinition]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "description": one.description, "schema": one.parameters_json_schema}
        for one in tools
    ]
