"""Which language model the user chose, and where its key comes from. Imports no provider's library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from ktrdr.agents.llm.waiting import Patience
from ktrdr.domain.calls import Limits

REDACTED = "[key]"
PLACEHOLDER = "no-key-is-needed"  # for a server of one's own; the libraries insist on some text


class Provider(StrEnum):
    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GOOGLE = "google"


# The environment variables of each provider's key, the first that is set; and the libraries it needs.
KEYS: Mapping[Provider, tuple[str, ...]] = {
    Provider.ANTHROPIC: ("ANTHROPIC_API_KEY",),
    Provider.OPENAI: ("OPENAI_API_KEY",),
    Provider.GOOGLE: ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
LIBRARIES: Mapping[Provider, tuple[str, ...]] = {
    Provider.ANTHROPIC: ("pydantic_ai", "genai_prices", "anthropic"),
    Provider.OPENAI: ("pydantic_ai", "genai_prices", "openai"),
    Provider.GOOGLE: ("pydantic_ai", "genai_prices", "google.genai"),
}
INSTALL = "pip install 'ktrdr[llm]'"


@dataclass(frozen=True)
class Choice:
    """A provider and one of its models."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"

    @classmethod
    def parse(cls, text: str) -> Choice:
        """`provider:model`. Raises ValueError with what is possible."""
        provider, colon, model = text.strip().partition(":")
        known = [one.value for one in Provider]
        if provider not in known or not colon or not model.strip() or len(text) > 120:
            raise ValueError(f"PROVIDER:MODEL with one of {', '.join(known)}, such as anthropic:MODEL")
        return cls(Provider(provider), model.strip())


@dataclass(frozen=True)
class Key:
    """A provider's key. Its text is in no repr, and `redact` takes it out of whatever others say."""

    variable: str | None
    text: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, provider: Provider, environment: Mapping[str, str] = os.environ) -> Key:
        for variable in KEYS[provider]:
            if environment.get(variable, "").strip():
                return cls(variable, environment[variable].strip())
        return cls(None)

    def redact(self, text: str) -> str:
        """The text without the key, and without long pieces of it: some providers echo half of one."""
        if self.text is None:
            return text
        text = text.replace(self.text, REDACTED)
        for length in (len(self.text) * 3 // 4, len(self.text) // 2):
            for start in range(len(self.text) - length + 1) if length >= 8 else ():
                text = text.replace(self.text[start : start + length], REDACTED)
        return text


@dataclass(frozen=True)
class LanguageModelSettings:
    """What the user said about the model."""

    choice: Choice
    base_url: str | None = None
    timeout: float = 120.0
    max_output_tokens: int = 8192
    prices: Path | None = None
    allow_unknown_price: bool = False
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)


def missing_libraries(provider: Provider) -> list[str]:
    """Those that are not installed; nothing is imported to find out."""
    return [name for name in LIBRARIES[provider] if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is not there either
        return False
