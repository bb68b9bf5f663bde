"""A campaign of real sessions, killed again and again, is the campaign that nothing interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import OPEN_GATES, SMALL

RESTARTED = "Backend restarted - checkpoint available for resume"
QUICK = {**SMALL, "training": {**SMALL["training"], "epochs": 30}}
SEED = 5


def start(backend: Backend, **body: Any) -> str:
    answer = backend.client.post("/agent/campaigns", json={"seed": SEED, "sessions": 3, **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["operation_id"])


def completed(backend: Backend, campaign_id: str) -> dict[str, Any]:
    backend.await_status(campaign_id, "COMPLETED", within=240.0)
    found: dict[str, Any] = backend.get(f"/agent/campaigns/{campaign_id}")
    return found


def found_by(campaign: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What each session was given and came to, by its number."""
    board = sorted(campaign["leaderboard"], key=lambda one: one["number"])
    return [
        tuple(one[name] for name in ("number", "seed", "opening", "verdict", "fingerprint")) for one in board
    ]


def killed(backend: Backend, campaign_id: str, *, workers: bool) -> None:
    """kill -9 of the backend, sometimes of its workers too; the next one is told to go on."""
    backend.kill()
    if workers:
        for worker in workers_of(backend.home):
            worker.send_signal(signal.SIGKILL)
    backend.start()
    stopped = backend.operation(campaign_id)
    assert (stopped["status"], stopped["error_message"]) == ("FAILED", RESTARTED)
    plan = backend.client.post(f"/operations/{campaign_id}/resume?dry_run=true").json()["data"]
    assert plan["can_resume"], plan
    assert backend.resume(campaign_id).status_code == 200


def test_killed_and_resumed_it_is_what_it_would_have_been(
    backend: Backend, sqlite_backend: BackendFactory
) -> None:
    """Killed right behind the answer, in a training, between sessions and in a holdout's exam: the same
    seeds, openings, verdicts and fingerprints as in another home without a kill."""
    backend.stop()
    backend.environment.update(OPEN_GATES)
    backend.start()
    campaign_id = start(backend, strategy=QUICK)
    killed(backend, campaign_id, workers=False)
    backend.await_status(f"{campaign_id}.s001.training", "RUNNING")
    killed(backend, campaign_id, workers=True)
    backend.await_status(f"{campaign_id}.s001", "COMPLETED")
    killed(backend, campaign_id, workers=False)
    eventually(
        lambda: backend.client.get(f"/operations/{campaign_id}.s002.holdout").status_code == 200,
        within=120.0,
        what="the second session's exam",
    )
    killed(backend, campaign_id, workers=True)
    found = completed(backend, campaign_id)
    assert [one["status"] for one in found["leaderboard"]] == ["COMPLETED"] * 3
    assert (found["trials"], found["openings"]) == (3, {"used": 3, "limit": 10})
    assert len(backend.get("/agent/sessions")) == 3, "no session but the three"

    other = sqlite_backend("whole", **OPEN_GATES)
    other.start()
    whole = completed(other, start(other, strategy=QUICK))
    assert found_by(found) == found_by(whole)
    assert found["result"]["fingerprint"] == whole["result"]["fingerprint"]


def test_a_cancel_leaves_nothing_running_and_a_resume_goes_on(sqlite_backend: BackendFactory) -> None:
    """Two at once: sessions and workers stop with their checkpoints, and all of them are taken up again."""
    backend = sqlite_backend(KTRDR_MAX_ACTIVE_SESSIONS="2", **OPEN_GATES)
    backend.start()
    campaign_id = start(backend, strategy=QUICK, parallel=2)
    eventually(
        lambda: any(one["status"] == "RUNNING" for one in backend.get("/operations", type="training")),
        within=60.0,
        what="a training",
    )
    assert backend.client.post(f"/operations/{campaign_id}/cancel").status_code == 202
    stopped = backend.await_status(campaign_id, "CANCELLED")
    assert stopped["checkpoint"]["checkpoint_type"] == "cancellation"
    assert stopped["checkpoint"]["sessions"] == 0
    sessions = backend.get("/operations", type="agent_research")
    assert [one["status"] for one in sessions] == ["CANCELLED"] * 2
    assert {one["status"] for one in backend.get("/operations")} == {"CANCELLED"}
    assert backend.resume(campaign_id).status_code == 200
    found = completed(backend, campaign_id)
    assert found["counts"] == {"completed": 3, "failed": 0, "cancelled": 0, "active": 0, "to_begin": 0}
    resumed = [backend.operation(one["operation_id"])["resumes"] for one in sessions]
    assert resumed == [1, 1]


def test_the_command_line_follows_a_campaign_to_its_leaderboard(sqlite_backend: BackendFactory) -> None:
    backend = sqlite_backend(**OPEN_GATES)
    backend.start()
    environment = {**os.environ, "KTRDR_URL": f"http://127.0.0.1:{backend.port}", "COLUMNS": "100"}
    path = backend.home / "small.json"
    path.write_text(json.dumps({**QUICK, "training": {**QUICK["training"], "epochs": 5}}))
    words = ["research", "start", "--sessions", "2", "--seed", "3", "--strategy", str(path), "--watch"]
    done = subprocess.run(
        [sys.executable, "-m", "ktrdr.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 completed of 2, 1 at once" in done.stdout
    assert "2 of 10 openings used, 8 left" in done.stdout
