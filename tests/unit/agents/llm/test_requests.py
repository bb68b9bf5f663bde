"""Two requests have the same hash when, and only when, the model sees the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from ktrdr.agents.llm.requests import canonical
from ktrdr.domain.fingerprints import sha256_of

TOOL = ToolDefinition(name="add", description="adds", parameters_json_schema={"type": "object"})
PARAMETERS = ModelRequestParameters(function_tools=[TOOL])


def conversation(
    *,
    asked: str = "well?",
    arguments: Any = '{"id": 1}',
    answer: Any = 3,
    retry: str = "again",
    ids: str = "x",
    year: int = 2020,
    instructions: str | None = "be brief",
) -> list[ModelMessage]:
    at = datetime(year, 1, 1, tzinfo=UTC)
    return [
        ModelRequest(
            [UserPromptPart(asked, timestamp=at)], instructions=instructions, run_id=ids, timestamp=at
        ),
        ModelResponse(
            [TextPart("let me see", id=ids), ToolCallPart("add", arguments, tool_call_id=ids)],
            usage=RequestUsage(input_tokens=year),
            timestamp=at,
            provider_response_id=ids,
            run_id=ids,
        ),
        ModelRequest(
            [
                ToolReturnPart("add", answer, tool_call_id=ids, timestamp=at),
                RetryFeedbackPart(retry, retry=RetryInfo(cause="model_retry"), timestamp=at),
            ],
            run_id=ids,
        ),
    ]


def hash_of(
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None = None,
    parameters: ModelRequestParameters = PARAMETERS,
    model: str = "anthropic:m",
) -> str:
    return sha256_of(canonical(model, messages, settings or ModelSettings(max_tokens=10), parameters))


ORIGINAL = hash_of(conversation())


def test_ids_and_times_are_not_part_of_a_request() -> None:
    assert hash_of(conversation(ids="y", year=2026)) == ORIGINAL
    assert hash_of(conversation(), ModelSettings(max_tokens=10, timeout=3.0, max_retries=0)) == ORIGINAL


@pytest.mark.parametrize(
    "change",
    [
        {"asked": "what?"},
        {"arguments": '{"id": 2}'},
        {"answer": 4},
        {"answer": {"id": 1, "timestamp": "2020"}},
        {"retry": "once more"},
        {"instructions": "be long"},
        {"instructions": None},
    ],
)
def test_whatever_the_model_sees_is(change: dict[str, Any]) -> None:
    assert hash_of(conversation(**change)) != ORIGINAL


def test_what_a_tool_answers_under_the_name_of_an_id_is() -> None:
    """Only the library's own ids are left out."""
    first, second = ({"id": number} for number in (1, 2))
    assert hash_of(conversation(answer=first)) != hash_of(conversation(answer=second))


def test_the_model_its_settings_and_its_tools_are() -> None:
    renamed = ModelRequestParameters(function_tools=[replace(TOOL, name="sum")])
    described = ModelRequestParameters(function_tools=[replace(TOOL, description="sums")])
    shaped = ModelRequestParameters(function_tools=[replace(TOOL, parameters_json_schema={})])
    others = [
        hash_of(conversation(), model="anthropic:n"),
        hash_of(conversation(), ModelSettings(max_tokens=11)),
        hash_of(conversation(), ModelSettings(max_tokens=10, temperature=0.5)),
        hash_of(conversation(), parameters=ModelRequestParameters(output_tools=[TOOL])),
        *(hash_of(conversation(), parameters=one) for one in (renamed, described, shaped)),
    ]
    assert len({ORIGINAL, *others}) == 1 + len(others)
