"""A whole session that a model thinks for: how a backend is told of it, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.provider.replies import Asked, Call, Reply, Script
from tests.provider.server import FakeProvider

BRIEF = "momentum on NASDAQ"
OPINION: dict[str, Any] = {
    "opinion": "DOUBTFUL",
    "strengths": [],
    "weaknesses": ["[red]little was learnt[/red]"],
    "hypotheses": ["More epochs help."],
    "next_suggestions": ["train longer"],
    "lesson": "Three epochs are few.",
}
DESIGN_REQUESTS = 6
MODELS = {
    "anthropic": ("anthropic:claude-opus-5", "ANTHROPIC_API_KEY"),
    "openai": ("openai:gpt-5.2", "OPENAI_API_KEY"),
    "google": ("google:gemini-3-pro", "GOOGLE_API_KEY"),
}


def purpose_of(asked: Asked) -> str:
    """Which of a session's conversations a request is of, as the journal names it."""
    return "design" if "past_experiments" in asked.tools else "assess"


def script_of(strategy: Mapping[str, Any], *, slow: Mapping[int, float] | None = None) -> Script:
    """Four tools, an answer that can't be used, the strategy; then an opinion.

    It goes by how often the model has answered in this conversation: the same request gets the same answer.
    `slow` says how many seconds the answer after so many others takes.
    """
    design: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("data_summary", {}),
        ("past_experiments", {"words": "momentum"}),
        ("hypotheses", {}),
        ("validate_strategy", {"strategy": strategy}),
        ("final_result", {"strategy": {**strategy, "code": "x"}, "research_notes": "wrong"}),
        ("final_result", {"strategy": strategy, "research_notes": "It may work.", "lessons_used": [1]}),
    )
    assert len(design) == DESIGN_REQUESTS
    seconds = slow or {}

    def script(asked: Asked) -> Reply:
        if purpose_of(asked) == "assess":
            failed = '"passed":false' in asked.turns[0].text
            opinion = OPINION | {"opinion": "REJECTED" if failed else "DOUBTFUL"}
            return Call.one("final_result", delay=seconds.get(asked.answers, 0.0), **opinion)
        name, arguments = design[min(asked.answers, len(design) - 1)]
        return Call.one(name, delay=seconds.get(asked.answers, 0.0), **arguments)

    return script


def told(provider: FakeProvider, protocol: str = "anthropic") -> dict[str, str]:
    """The backend's environment."""
    model, key = MODELS[protocol]
    return {"KTRDR_LLM": model, "KTRDR_LLM_BASE_URL": provider.url(protocol), key: "sk-canary"}
