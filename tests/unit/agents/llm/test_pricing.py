"""What a call can cost at most, and what it did cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_ai.usage import RequestUsage

from ktrdr.agents.llm.choice import Choice
from ktrdr.agents.llm.pricing import OVERHEAD_TOKENS, Prices, Rate, read_table
from ktrdr.domain.errors import RefusedToStart, StepFailed

OPUS = Choice.parse("anthropic:claude-opus-5")  # 5 and 25 dollars a million, 6.25 into its cache


def prices(
    choice: Choice = OPUS, allow_unknown: bool = False, table: dict[str, Rate] | None = None
) -> Prices:
    return Prices(choice, table or {}, allow_unknown=allow_unknown)


def test_the_worst_case_is_every_byte_a_token_and_the_longest_answer() -> None:
    tokens = 1_000 + OVERHEAD_TOKENS
    assert prices().worst(1_000, 8_192) == pytest.approx((tokens * 6.25 + 8_192 * 25) / 1e6)


@pytest.mark.parametrize("model", ["anthropic:claude-haiku-5-5", "google:gemini-2.5-pro", "openai:gpt-5"])
@pytest.mark.parametrize(("request_bytes", "output"), [(1_000, 10), (400_000, 8_192), (2_000_000, 8_192)])
def test_no_usage_within_the_bounds_costs_more(model: str, request_bytes: int, output: int) -> None:
    """Also where long requests are dearer, and where a cache is written to."""
    one = prices(Choice.parse(model))
    worst = one.worst(request_bytes, output)
    most = request_bytes + OVERHEAD_TOKENS
    for tokens in (1, most // 2, most):
        for written, read in ((0, 0), (tokens, 0), (0, tokens)):
            usage = RequestUsage(
                input_tokens=tokens, output_tokens=output, cache_write_tokens=written, cache_read_tokens=read
            )
            assert one.cost(usage, worst) <= worst * (1 + 1e-9)


def test_a_cost_is_what_the_provider_says_it_used() -> None:
    usage = RequestUsage(input_tokens=1_000, output_tokens=100, cache_read_tokens=400)
    assert prices().cost(usage, 1.0) == pytest.approx((600 * 5 + 400 * 0.5 + 100 * 25) / 1e6)


def test_a_usage_that_is_not_told_counts_as_the_worst() -> None:
    assert prices().cost(RequestUsage(), 0.3) == 0.3


def test_the_users_table_goes_before_the_built_in_one() -> None:
    own = prices(table={"claude-opus-5": Rate(1.0, 2.0)})
    assert own.source() == "KTRDR_LLM_PRICES"
    assert own.cost(RequestUsage(input_tokens=10, output_tokens=10), 1.0) == pytest.approx(30 / 1e6)
    named = prices(table={"anthropic:claude-opus-5": Rate(3.0, 3.0), "claude-opus-5": Rate(1.0, 2.0)})
    assert named.cost(RequestUsage(input_tokens=10, output_tokens=10), 1.0) == pytest.approx(60 / 1e6)
    assert prices().source() == "genai-prices"


def test_an_unknown_price_is_refused_unless_allowed() -> None:
    unknown = Choice.parse("openai:my-own-model")
    assert prices(unknown).source() is None
    with pytest.raises(StepFailed, match="KTRDR_ALLOW_UNKNOWN_PRICE") as failed:
        prices(unknown).worst(1_000, 8_192)
    assert failed.value.step_code == "LLM_PRICE_UNKNOWN"
    assert prices(unknown, allow_unknown=True).worst(1_000, 8_192) == 0.0


def test_a_table_is_json_or_yaml(tmp_path: Path) -> None:
    path = tmp_path / "prices"
    path.write_text('{"a": {"input": 1, "output": 2.5}}')
    assert read_table(path) == {"a": Rate(1.0, 2.5)}
    path.write_text("b: {input: 0, output: 0}\n")
    assert read_table(path) == {"b": Rate(0.0, 0.0)}
    assert read_table(None) == {}


@pytest.mark.parametrize(
    "text",
    ["[1]", "a: 1", "a: {input: 1}", "a: {input: 1, output: -1}", "a: {input: x, output: 1}", "a: [", ""],
)
def test_a_table_that_is_none_refuses_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(RefusedToStart, match=r"KTRDR_LLM_PRICES=.*prices\.yaml can't be used"):
        read_table(path)
    with pytest.raises(RefusedToStart, match="can't be used"):
        read_table(tmp_path / "not there")
