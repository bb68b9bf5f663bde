"""Forks of real sessions: killed and resumed like any other, and equal to research that began anew."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.backend import Backend
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import OPEN_GATES, SMALL

RESTARTED = "Backend restarted - checkpoint available for resume"
SEED = 11
QUICK = {**SMALL, "training": {**SMALL["training"], "epochs": 30}}
DARING = {"strategy.decisions.confidence_threshold": 0.36, "strategy.decisions.risk.stop_loss": 0.03}


def fork(backend: Backend, session_id: int, phase: str, **settings: Any) -> dict[str, Any]:
    answer = backend.client.post(
        f"/agent/sessions/{session_id}/fork", json={"from_phase": phase, "set": settings}
    )
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def completed(backend: Backend, operation_id: str, session_id: int) -> dict[str, Any]:
    backend.await_status(operation_id, "COMPLETED")
    session: dict[str, Any] = backend.get(f"/agent/sessions/{session_id}")
    return session


def whole(backend: Backend, **body: Any) -> dict[str, Any]:
    """A session from its beginning to its end."""
    return completed(backend, *backend.trigger(**{"seed": SEED, "strategy": QUICK, **body}))


def unrelated(session: dict[str, Any]) -> dict[str, Any]:
    """A session without what a fork adds to it: being shown as its origin."""
    return {**session, "forks": None}


@pytest.fixture
def patient(backend: Backend) -> Backend:
    """The backend with open gates."""
    backend.stop()
    backend.environment.update(OPEN_GATES)
    backend.start()
    return backend


def test_a_fork_whose_backend_is_killed_goes_on_with_the_model_of_its_origin(patient: Backend) -> None:
    """Killed right behind the answer and again in BACKTESTING: nothing is trained, nothing of the origin
    changes, the holdout is opened a second time, and that is counted."""
    origin = whole(patient)
    trained = patient.operation(origin["training_operation_id"])
    made = fork(patient, 1, "BACKTESTING", **DARING)
    for _ in range(2):
        patient.kill()
        patient.start()
        stopped = patient.operation(made["operation_id"])
        assert (stopped["status"], stopped["error_message"]) == ("FAILED", RESTARTED)
        assert stopped["checkpoint"]["phase"] == "BACKTESTING"
        assert patient.resume(made["operation_id"]).status_code == 200
        patient.await_phase("BACKTESTING")
    found = completed(patient, made["operation_id"], made["session_id"])

    assert [child["operation_type"] for child in found["children"]] == ["backtesting", "backtesting"]
    assert found["training_operation_id"] == origin["training_operation_id"]
    assert found["training_result"] == origin["training_result"]
    assert patient.operation(origin["training_operation_id"]) == trained
    assert found["backtest_result"]["trades_sha256"] != origin["backtest_result"]["trades_sha256"]
    assert found["assessment"]["opening"] == origin["assessment"]["opening"] + 1
    assert found["forked_from"]["changes"] == {
        "strategy.decisions.confidence_threshold": {"from": 0.34, "to": 0.36},
        "strategy.decisions.risk.stop_loss": {"from": None, "to": 0.03},
    }
    after = patient.get("/agent/sessions/1")
    assert after["forks"] == [made["session_id"]]
    assert unrelated(after) == unrelated(origin)


def test_a_cancelled_fork_stops_its_own_child_only(patient: Backend) -> None:
    origin = whole(patient)
    made = fork(patient, 1, "TRAINING", **{"strategy.training.epochs": 10_000})
    patient.await_status(f"{made['operation_id']}.training", "RUNNING")
    assert patient.client.post(f"/operations/{made['operation_id']}/cancel").status_code == 202
    patient.await_status(made["operation_id"], "CANCELLED")
    assert patient.operation(f"{made['operation_id']}.training")["status"] == "CANCELLED"
    assert unrelated(patient.get("/agent/sessions/1")) == unrelated(origin)


@pytest.mark.parametrize(
    ("phase", "settings", "equivalent"),
    [
        ("DESIGNING", {}, {}),
        ("TRAINING", {}, {}),
        ("BACKTESTING", {}, {}),
        ("ASSESSING", {}, {}),
        ("TRAINING", {"seed": 12}, {"seed": 12}),
        (
            "BACKTESTING",
            {"strategy.decisions.confidence_threshold": 0.36},
            {"strategy": {**QUICK, "decisions": {**QUICK["decisions"], "confidence_threshold": 0.36}}},
        ),
    ],
)
def test_a_fork_finds_what_a_session_that_begins_anew_finds(
    sqlite_backend: BackendFactory, phase: str, settings: dict[str, Any], equivalent: dict[str, Any]
) -> None:
    """Its fingerprint is that of the session with these settings, bit for bit. That session runs in a home
    of its own, where one before it has opened the holdout too: the level of an opening is part of it."""
    backend = sqlite_backend("forked", **OPEN_GATES)
    backend.start()
    whole(backend)
    made = fork(backend, 1, phase, **settings)
    forked = completed(backend, made["operation_id"], made["session_id"])
    backend.stop()
    anew = sqlite_backend("anew", **OPEN_GATES)
    anew.start()
    whole(anew)
    expected = whole(anew, **equivalent)
    assert forked["assessment"]["opening"] == expected["assessment"]["opening"] == 2
    assert forked["result_fingerprint"] == expected["result_fingerprint"]
