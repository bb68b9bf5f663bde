"""What phases need of a language model, without importing a library for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from ktrdr.agents.prompts import NAMES, prompt_sha256
from ktrdr.domain.operations import Operation
from ktrdr.domain.sessions import GateThresholds

if TYPE_CHECKING:  # it is only there with the extra `llm`, and slow to import
    from pydantic_ai.models import Model

DESIGN, ASSESS = "design", "assess"  # the purposes of a session's conversations


class LanguageModels(Protocol):
    """The model that the user chose, and a journal of what is asked of it."""

    @property
    def name(self) -> str:
        """Provider and model: `anthropic:claude-…`."""

    def for_call(self, operation: Operation, purpose: str) -> Model:
        """The model for one conversation of an operation; an answer that is recorded is given again."""

    def stop(self) -> None:
        """The backend is stopping: no conversation goes on."""


def session_settings(thresholds: GateThresholds, model: str | None) -> Mapping[str, Any]:
    """What a session is made under beyond data and strategy, for its fingerprint.

    With a model that is its name and the prompts too: a resume under others would go on with another
    conversation than the one that was paid for.
    """
    settings = asdict(thresholds)
    if model is None:
        return settings
    return {**settings, "language_model": model, "prompts": {name: prompt_sha256(name) for name in NAMES}}
