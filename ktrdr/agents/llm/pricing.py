"""What a call can cost at most, and what it did cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ktrdr.agents.llm.choice import Choice
from ktrdr.domain.errors import RefusedToStart, StepFailed

if TYPE_CHECKING:
    from pydantic_ai.usage import RequestUsage

MILLION = 1_000_000
# What a provider puts before a request by itself, such as how tools are called.
OVERHEAD_TOKENS = 1024
UNKNOWN = "LLM_PRICE_UNKNOWN"


@dataclass(frozen=True)
class Rate:
    """US dollars per million tokens."""

    input: float
    output: float


class Prices:
    """The prices of one model: the user's table, else genai-prices, else none."""

    def __init__(self, choice: Choice, table: Mapping[str, Rate], *, allow_unknown: bool) -> None:
        self._choice = choice
        self._allow_unknown = allow_unknown
        self._rate = table.get(choice.name, table.get(choice.model))

    def source(self) -> str | None:
        """Where this model's price comes from; None when nothing knows it."""
        if self._rate is not None:
            return "KTRDR_LLM_PRICES"
        return None if self._library(1, 1) is None else "genai-prices"

    def worst(self, most_tokens: int, max_output_tokens: int) -> float:
        """The most a request of so many tokens can cost.

        It may be billed as written to the provider's cache, which is dearer. Raises StepFailed
        (LLM_PRICE_UNKNOWN).
        """
        tokens = most_tokens + OVERHEAD_TOKENS
        if self._rate is not None:
            return (tokens * self._rate.input + max_output_tokens * self._rate.output) / MILLION
        plain = self._library(tokens, max_output_tokens)
        if plain is not None:
            written = self._library(tokens, max_output_tokens, cache_write_tokens=tokens)
            return max(plain, written or 0.0)
        if self._allow_unknown:
            return 0.0
        raise StepFailed(
            UNKNOWN,
            f"The price of {self._choice.name} is not known, so no budget can be kept. Give it in the file "
            "that KTRDR_LLM_PRICES names (see docs/llm.md), or set KTRDR_ALLOW_UNKNOWN_PRICE=true. "
            "Then restart the backend and resume.",
        )

    def cost(self, usage: RequestUsage, worst_usd: float) -> float:
        """What an answered request cost; the worst case when the provider does not say what it used."""
        if usage.input_tokens == 0:
            return worst_usd
        if self._rate is not None:
            total = usage.input_tokens * self._rate.input + usage.output_tokens * self._rate.output
            return total / MILLION
        found = self._library(
            usage.input_tokens,
            usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        return worst_usd if found is None else found

    def _library(self, input_tokens: int, output_tokens: int, **cached: int) -> float | None:
        """By genai-prices; None for a model or a usage it can't price."""
        from genai_prices import Usage, calc_price

        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **cached)
        try:
            found = calc_price(usage, self._choice.model, provider_id=self._choice.provider.value)
        except (LookupError, ValueError):
            return None
        return float(found.total_price)


def read_table(path: Path | None) -> dict[str, Rate]:
    """The user's prices: JSON or YAML, `MODEL: {input: USD, output: USD}` per million tokens.

    Raises RefusedToStart naming what is wrong.
    """
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no mapping of models")
        return {str(model): _rate(model, value) for model, value in found.items()}
    except (OSError, ValueError, yaml.YAMLError) as wrong:
        raise RefusedToStart(f"KTRDR_LLM_PRICES={path} can't be used: {wrong}") from wrong


def _rate(model: Any, value: Any) -> Rate:
    known = isinstance(value, dict) and value.keys() == {"input", "output"}
    usd = [value[name] for name in ("input", "output")] if known else []
    if not usd or not all(isinstance(one, int | float) and 0 <= one < 1e6 for one in usd):
        raise ValueError(f"{model}: give input and output, both US dollars per million tokens")
    return Rate(float(usd[0]), float(usd[1]))
