"""Whole sessions that a language model thinks for, over the providers' real protocols."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.provider.replies import Asked, Call, Reply
from tests.provider.server import FakeProvider

BackendFactory = Callable[..., Backend]
QUICK = copy.deepcopy(SMALL) | {"name": "thought_of"}
QUICK["training"]["epochs"] = 3
DESIGN: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("data_summary", {}),
    ("past_experiments", {"words": "momentum"}),
    ("hypotheses", {}),
    ("validate_strategy", {"strategy": QUICK}),
    ("final_result", {"strategy": {**QUICK, "code": "x"}, "research_notes": "wrong"}),
    ("final_result", {"strategy": QUICK, "research_notes": "It may work.", "lessons_used": [1]}),
)
OPINION: dict[str, Any] = {
    "opinion": "DOUBTFUL",
    "strengths": [],
    "weaknesses": ["[red]little was learnt[/red]"],
    "hypotheses": ["More epochs help."],
    "next_suggestions": ["train longer"],
    "lesson": "Three epochs are few.",
}
MODELS = {
    "anthropic": ("anthropic:claude-opus-5", "ANTHROPIC_API_KEY"),
    "openai": ("openai:gpt-5.2", "OPENAI_API_KEY"),
    "google": ("google:gemini-3-pro", "GOOGLE_API_KEY"),
}


def script(asked: Asked) -> Reply:
    """By how often the model has answered in this conversation; a slow answer is there to be killed in."""
    if "past_experiments" not in asked.tools:
        failed = '"passed":false' in asked.turns[0].text
        return Call.one("final_result", **OPINION | {"opinion": "REJECTED" if failed else "DOUBTFUL"})
    name, arguments = DESIGN[min(asked.answers, len(DESIGN) - 1)]
    return Call.one(name, delay=0.6 if asked.answers == 3 else 0.0, **arguments)


def told(provider: FakeProvider, protocol: str) -> dict[str, str]:
    model, key = MODELS[protocol]
    return {
        "KTRDR_LLM": model,
        "KTRDR_LLM_BASE_URL": provider.url(protocol),
        "KTRDR_ALLOW_UNKNOWN_PRICE": "true",
        "KTRDR_BUDGET_SESSION_USD": "50",
        "KTRDR_BUDGET_DAY_USD": "500",
        key: "sk-canary",
        **OPEN_GATES,
    }


@pytest.mark.parametrize("protocol", MODELS)
def test_a_session_is_thought_of_over_every_protocol(sqlite_backend: BackendFactory, protocol: str) -> None:
    with FakeProvider(script) as provider:
        backend = sqlite_backend(**told(provider, protocol))
        backend.start()
        for _ in range(2):  # the second one is told of the first
            backend.trigger(seed=7, brief="momentum on NASDAQ")
            backend.await_phase("COMPLETED")
        bodies = [json.dumps(one.asked.body) for one in provider.served]
        session = backend.get("/agent/sessions")[0]
        memory = backend.get("/agent/memory")
    assert len(bodies) == 2 * (len(DESIGN) + 1)
    assert session["strategy_config"]["name"] == "thought_of"
    assert "Learnt from experiment 1." in session["research_notes"]
    assert session["assessment"]["lesson"] == OPINION["lesson"]
    assert [one["statement"] for one in memory["hypotheses"]] == ["More epochs help."] * 2
    assert session["holdout_result"] is not None
    sent = "\n".join(bodies)
    figures = {
        f"{value:.4g}" for value in session["holdout_result"]["metrics"].values() if isinstance(value, float)
    }
    shown = {one for one in figures if len(one) > 5 and one in sent}
    assert shown == set()
    assert re.findall(r"\b20(?:1[4-9]|[2-9]\d)-\d\d", sent) == []
    assert "past_experiments" in sent
    assert OPINION["lesson"] in sent


def test_a_design_that_is_killed_goes_on_where_it_was(sqlite_backend: BackendFactory) -> None:
    """Only the request on its way is sent again, and the strategy is the same."""
    with FakeProvider(script) as provider:
        backend = sqlite_backend(**told(provider, "anthropic"))
        backend.start()
        operation_id, _ = backend.trigger(seed=7, brief="momentum on NASDAQ")
        eventually(lambda: provider.arrived == 4, within=30.0, what="the fourth request")
        backend.kill()
        backend.start()
        assert backend.client.post(f"/operations/{operation_id}/resume").status_code == 200
        backend.await_phase("COMPLETED")
        assert provider.arrived == len(DESIGN) + 2
        session = backend.get("/agent/sessions")[0]
    assert session["strategy_config"]["name"] == "thought_of"
    assert session["assessment"]["assessor"] == "anthropic:claude-opus-5"
