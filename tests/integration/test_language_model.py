"""A backend that was told of a language model: what it says about it, and that it keeps its key to itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.backend import Backend, eventually
from tests.provider.replies import Asked, Refuse, Reply
from tests.provider.server import FakeProvider

BackendFactory = Callable[..., Backend]
CANARY = "sk-ant-canary-5f3c9a7e1b2d4c6f8a0e"


def told(provider: FakeProvider, **more: str) -> dict[str, str]:
    return {
        "KTRDR_LLM": "anthropic:claude-opus-5",
        "KTRDR_LLM_BASE_URL": provider.url("anthropic"),
        "ANTHROPIC_API_KEY": CANARY,
        **more,
    }


def echo(_: Asked) -> Reply:
    """A provider that repeats the key it was sent."""
    return Refuse(401, message=f"invalid x-api-key: {CANARY}")


def states(backend: Backend) -> dict[str, str]:
    return {one["name"]: one["state"] for one in backend.get("/doctor")}


def test_a_key_is_nowhere_but_in_the_environment(sqlite_backend: BackendFactory) -> None:
    """Whatever happens to a session of a provider that echoes it: no file of the home, no answer has it."""
    with FakeProvider(echo) as provider:
        backend = sqlite_backend(**told(provider))
        backend.start()
        operation_id, session_id = backend.trigger(seed=7)

        def ended_or_went_on() -> Any:
            found = backend.get("/agent/status")
            return found if found["status"] == "FAILED" or found["phase"] != "DESIGNING" else None

        eventually(ended_or_went_on, within=60.0, what="the end of the design")
        paths = (
            "/doctor",
            "/agent/budget",
            "/agent/status",
            "/agent/sessions",
            f"/agent/sessions/{session_id}",
        )
        more = ("/operations", f"/operations/{operation_id}", f"/checkpoints/{operation_id}", "/metrics")
        answers = [backend.client.get(path).text for path in (*paths, *more)]
        backend.client.post(f"/operations/{operation_id}/cancel")
        backend.stop()
        for served in provider.served:
            assert served.headers["authorization"] == f"Bearer {CANARY}"
    assert all(CANARY not in answer for answer in answers)
    files = [path for path in backend.home.rglob("*") if path.is_file()]
    assert {"backend.log", "ktrdr.db"} <= {path.name for path in files}
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_the_doctor_knows_what_is_there(sqlite_backend: BackendFactory) -> None:
    with FakeProvider(echo) as provider:
        backend = sqlite_backend(**told(provider))
        backend.start()
        assert set(states(backend).values()) == {"ok"}
        assert states(backend).keys() == {"database", "language model", "key", "price", "budget"}
        assert provider.arrived == 0


def test_the_doctor_knows_what_is_missing(sqlite_backend: BackendFactory, tmp_path: Path) -> None:
    """A backend without its key starts, and says what to set."""
    backend = sqlite_backend(KTRDR_LLM="openai:nobody-knows-its-price", OPENAI_API_KEY="")
    backend.start()
    said = {one["message"]: one["state"] for one in backend.get("/doctor")}
    assert said["OPENAI_API_KEY is not set in the backend's environment"] == "missing"
    unpriced = sqlite_backend("other", KTRDR_LLM="openai:nobody-knows-its-price", OPENAI_API_KEY=CANARY)
    unpriced.start()
    assert states(unpriced)["price"] == "missing"


def test_without_a_model_nothing_is_missing(sqlite_backend: BackendFactory) -> None:
    backend = sqlite_backend()
    backend.start()
    assert states(backend) == {"database": "ok", "language model": "ok"}


def test_a_spent_day_refuses_a_trigger_with_429(sqlite_backend: BackendFactory) -> None:
    """Only where a model is asked; and a raised budget counts at once."""
    with FakeProvider(echo) as provider:
        backend = sqlite_backend(**told(provider))
        backend.start()
        answer = backend.client.put("/agent/budget", json={"limit_usd": 0})
        assert answer.json()["data"]["day"] == {"limit_usd": 0.0, "spent_usd": 0.0, "left_usd": 0.0}
        body = {"trigger_reason": "start_new_cycle"}
        refused = backend.client.post("/agent/trigger", json=body)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "BUDGET_EXHAUSTED"
        assert "ktrdr research budget --day" in refused.json()["error"]["message"]
        assert backend.get("/agent/status")["session_id"] is None
        backend.client.put("/agent/budget", json={"limit_usd": 1})
        operation_id, session_id = backend.trigger()
        backend.client.post(f"/operations/{operation_id}/cancel")
        set_ = backend.client.put("/agent/budget", json={"limit_usd": 3, "session_id": session_id})
        assert set_.json()["data"]["session"]["limit_usd"] == 3.0
        assert backend.get("/agent/budget", session_id=session_id) == set_.json()["data"]


def test_a_session_is_started_with_its_own_budget(sqlite_backend: BackendFactory) -> None:
    """Nothing is asked of the model within a budget of nothing; no start where it is no amount, no resume
    until it is raised."""
    with FakeProvider(echo) as provider:
        backend = sqlite_backend(**told(provider))
        backend.start()
        for wrong in ("-0.01", "Infinity", "NaN", '"much"', "1e7"):
            text = f'{{"trigger_reason": "manual", "budget_usd": {wrong}}}'
            refused = backend.client.post(
                "/agent/trigger", content=text, headers={"content-type": "application/json"}
            )
            assert refused.status_code == 422, wrong
            assert "budget_usd" in refused.text
        assert backend.get("/agent/status")["session_id"] is None
        operation_id, session_id = backend.trigger(budget_usd=0)
        failed = backend.await_status(operation_id, "FAILED")
        assert failed["error_code"] == "BUDGET_EXHAUSTED"
        assert f"The budget of session {session_id} of $0.00" in failed["error_message"]
        assert backend.get("/agent/budget", session_id=session_id)["session"]["limit_usd"] == 0.0
        assert provider.arrived == 0

        refused = backend.resume(operation_id)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "BUDGET_EXHAUSTED")
        assert f"ktrdr research budget --session {session_id} --set USD" in refused.json()["error"]["message"]
        look = backend.client.post(f"/operations/{operation_id}/resume?dry_run=true").json()["data"]
        assert (look["can_resume"], look["obstacle"]) == (False, refused.json()["error"])
        assert backend.operation(operation_id) == failed
        raised = {"limit_usd": 5, "session_id": session_id}
        assert backend.client.put("/agent/budget", json=raised).status_code == 200
        assert backend.resume(operation_id).status_code == 200
        backend.await_status(operation_id, "FAILED")  # of what the provider says
        assert provider.arrived == 1


def test_a_budget_that_is_none_is_refused(sqlite_backend: BackendFactory) -> None:
    backend = sqlite_backend()
    backend.start()
    for body, status in (
        ({"limit_usd": -1}, 422),
        ({"limit_usd": 1, "session_id": 99}, 404),
        ({"limit_usd": 1, "campaign_id": "none"}, 422),
        ({"limit_usd": 1, "session_id": 1, "campaign_id": "c"}, 422),
    ):
        assert backend.client.put("/agent/budget", json=body).status_code == status
    assert backend.get("/agent/budget")["day"]["limit_usd"] == 10.0
