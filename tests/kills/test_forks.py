"""Forks of real sessions: killed and resumed like any other, and equal to research that began anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.backend import Backend
from tests.integration.conftest import BackendFactory, free_port
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend whose session 1 is complete; each test forks that."""
    one = Backend(tmp_path_factory.mktemp("finished"), free_port(), **OPEN_GATES)
    try:
        one.start()
        whole(one)
        yield one
    finally:
        one.close()


def test_a_cancelled_fork_stops_its_own_child_only(finished: Backend) -> None:
    origin = finished.get("/agent/sessions/1")
    made = fork(finished, 1, "TRAINING", **{"strategy.training.epochs": 10_000})
    finished.await_status(f"{made['operation_id']}.training", "RUNNING")
    assert finished.client.post(f"/operations/{made['operation_id']}/cancel").status_code == 202
    finished.await_status(made["operation_id"], "CANCELLED")
    assert finished.operation(f"{made['operation_id']}.training")["status"] == "CANCELLED"
    assert unrelated(finished.get("/agent/sessions/1")) == unrelated(origin)


@pytest.mark.parametrize("phase", ["DESIGNING", "TRAINING", "BACKTESTING", "ASSESSING"])
def test_a_fork_that_changes_nothing_finds_the_same(finished: Backend, phase: str) -> None:
    """Weights, trades, equity and the exam, to the last bit; only the level is that of its own opening."""
    made = fork(finished, 1, phase)
    found = completed(finished, made["operation_id"], made["session_id"])
    assert found["forked_from"] == {"session_id": 1, "phase": phase, "changes": {}}
    assert computed(found) == computed(finished.get("/agent/sessions/1"))


def computed(session: dict[str, Any]) -> dict[str, Any]:
    """What was computed: no places of files, and no level."""
    exam = {name: session["holdout_result"]["exam"][name] for name in ("alpha_annual", "p_value", "vetoes")}
    hashes = ("trades_sha256", "equity_sha256", "metrics")
    return {
        "weights": session["training_result"]["weights_sha256"],
        "training": session["training_result"]["metrics"],
        "validation": [session["backtest_result"][name] for name in hashes],
        "holdout": [session["holdout_result"][name] for name in hashes],
        "exam": exam,
        "gates": session["gates"],
    }


def test_a_fork_has_the_fingerprint_of_a_session_that_begins_anew(sqlite_backend: BackendFactory) -> None:
    """That one runs in a home of its own, where one before it has opened the holdout too: the level of an
    opening is part of the fingerprint."""
    backend = sqlite_backend("forked", **OPEN_GATES)
    backend.start()
    whole(backend)
    made = fork(backend, 1, "BACKTESTING", **{"strategy.decisions.confidence_threshold": 0.36})
    forked = completed(backend, made["operation_id"], made["session_id"])
    backend.stop()
    anew = sqlite_backend("anew", **OPEN_GATES)
    anew.start()
    whole(anew)
    decisions = {**QUICK["decisions"], "confidence_threshold": 0.36}
    expected = whole(anew, strategy={**QUICK, "decisions": decisions})
    assert forked["assessment"]["opening"] == expected["assessment"]["opening"] == 2
    assert forked["result_fingerprint"] == expected["result_fingerprint"]
