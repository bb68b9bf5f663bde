"""Whole sessions that a language model thinks for, over the providers' real protocols."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable

import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.provider.server import FakeProvider
from tests.provider.sessions import BRIEF, DESIGN_REQUESTS, MODELS, OPINION, script_of, told

BackendFactory = Callable[..., Backend]
QUICK = copy.deepcopy(SMALL) | {"name": "thought_of"}
QUICK["training"]["epochs"] = 3
SLOW = {3: 0.6}  # a slow answer is there to be killed in
WITHIN = {
    "KTRDR_ALLOW_UNKNOWN_PRICE": "true",
    "KTRDR_BUDGET_SESSION_USD": "50",
    "KTRDR_BUDGET_DAY_USD": "500",
    **OPEN_GATES,
}


@pytest.mark.parametrize("protocol", MODELS)
def test_a_session_is_thought_of_over_every_protocol(sqlite_backend: BackendFactory, protocol: str) -> None:
    with FakeProvider(script_of(QUICK, slow=SLOW)) as provider:
        backend = sqlite_backend(**told(provider, protocol), **WITHIN)
        backend.start()
        for _ in range(2):  # the second one is told of the first
            backend.trigger(seed=7, brief=BRIEF)
            backend.await_phase("COMPLETED")
        bodies = [json.dumps(one.asked.body) for one in provider.served]
        session = backend.get("/agent/sessions")[0]
        memory = backend.get("/agent/memory")
    assert len(bodies) == 2 * (DESIGN_REQUESTS + 1)
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
    with FakeProvider(script_of(QUICK, slow=SLOW)) as provider:
        backend = sqlite_backend(**told(provider), **WITHIN)
        backend.start()
        operation_id, _ = backend.trigger(seed=7, brief=BRIEF)
        eventually(lambda: provider.arrived == 4, within=30.0, what="the fourth request")
        backend.kill()
        backend.start()
        assert backend.client.post(f"/operations/{operation_id}/resume").status_code == 200
        backend.await_phase("COMPLETED")
        assert provider.arrived == DESIGN_REQUESTS + 2
        session = backend.get("/agent/sessions")[0]
    assert session["strategy_config"]["name"] == "thought_of"
    assert session["assessment"]["assessor"] == "anthropic:claude-opus-5"
