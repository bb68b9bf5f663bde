"""A research session that is driven to its end whatever dies on the way, and what must hold meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.crash.ledger import Paid
from tests.crash.seam import sitecustomize as seam
from tests.crash.thinkers import Thinker
from tests.integration.backend import Backend, workers_of
from tests.integration.strategies import OPEN_GATES

SEED = 11
SEAM = Path(seam.__file__).parent
RESTARTED = "Backend restarted - checkpoint available for resume"
LOST = (
    "Worker became unavailable - checkpoint available for resume",
    "Worker became unavailable - no checkpoint available",
    "The worker was killed before it began",
)
SESSION_SECONDS = 360.0
PHASES = ("DESIGNING", "TRAINING", "BACKTESTING", "ASSESSING", "COMPLETED")

T = TypeVar("T")
Point = tuple[int, str]
Plan = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Blow:
    """A kill at an instant: so many seconds after the session was last set going, or as soon as so many
    requests have come to its model, with the last of them on its way."""

    victim: str  # backend, worker, both, or database
    seconds: float = 0.0
    requests: int = 0

    def __str__(self) -> str:
        return f"{self.victim} " + (
            f"at request {self.requests}" if self.requests else f"after {self.seconds:.2f} s"
        )


@dataclass
class Outcome:
    """How a session ended, and what it went through."""

    fingerprint: str
    computed: Mapping[str, Any]
    kills: list[str] = field(default_factory=list)
    resumes: int = 0
    seconds: float = 0.0
    shown_usd: Sequence[float] = ()  # its spend, wherever the API gives it
    paid: Paid = field(default_factory=Paid)

    def equals(self, other: Outcome) -> bool:
        """The same was found, and a model was asked the same."""
        mine = (self.fingerprint, self.computed, self.paid.asked)
        return mine == (other.fingerprint, other.computed, other.paid.asked)


class Research:
    """One session in a home of its own."""

    def __init__(
        self,
        backend: Backend,
        thinker: Thinker,
        *,
        plan: Plan | None = None,
        blows: Sequence[Blow] = (),
        crash_database: Callable[[], None] | None = None,
    ) -> None:
        self.backend = backend
        self._thinker = thinker
        self._blows = list(blows)
        self._crash_database = crash_database
        self._struck: list[str] = []
        self._resumes = 0
        self._set_going = time.monotonic()
        self._operation_id: str | None = None
        self._session_id = 0  # PostgreSQL counts a number also for a trigger that was rolled back
        self._restarted = False
        self._finished: dict[str, Mapping[str, Any]] = {}  # children that were seen COMPLETED
        self._furthest = 0
        folder = backend.home / seam.FOLDER
        folder.mkdir(parents=True)
        (folder / seam.PLAN).write_text(json.dumps(plan or {}))
        known = os.environ.get("PYTHONPATH", "")
        backend.environment |= {
            **OPEN_GATES,
            **thinker.environment(backend.home),
            "PYTHONPATH": f"{SEAM}:{known}".rstrip(":"),
        }

    def drive(self) -> Outcome:
        """Start, trigger, restart and resume until it is COMPLETED; every invariant is checked on the way."""
        begun = time.monotonic()
        outcome = self.outliving(self._step)
        outcome.seconds = time.monotonic() - begun
        return outcome

    def outliving(self, step: Callable[[], T | None]) -> T:
        """Take a step until it answers something; a backend that dies meanwhile is started again."""
        begun = time.monotonic()
        while True:
            assert time.monotonic() - begun < SESSION_SECONDS, (
                f"not done; {self.kills()}; {self.backend.log()}"
            )
            if self.backend.process is None or self.backend.process.poll() is not None:
                self._start()
                continue
            with suppress(httpx.TransportError):  # it has died, or is about to be seen dead
                done = step()
                if done is not None:
                    return done
            time.sleep(0.02)

    def kills(self) -> list[str]:
        """What was killed, and where."""
        folder = self.backend.home / seam.FOLDER
        marks = sorted(one for one in folder.iterdir() if one.name not in (seam.PLAN, seam.LOG))
        return [f"{one.name} {one.read_text().strip()}" for one in marks] + self._struck

    def _start(self) -> None:
        """Start the backend; it may die on the way to being ready."""
        if self.backend.process is not None:
            assert self.backend.process.returncode == -9, f"it ended by itself: {self.backend.log()}"
            self._restarted = True
        self.backend.process = self.backend.spawn()
        self._set_going = time.monotonic()
        while self.backend.process.poll() is None:
            assert time.monotonic() - self._set_going < 60.0, f"not ready; {self.backend.log()}"
            try:
                if self.backend.client.get("/ready").status_code == 200:
                    self._set_going = time.monotonic()  # what a start takes leaves no less to be struck
                    return
            except httpx.TransportError:
                time.sleep(0.02)

    def _strike_if_due(self) -> None:
        if not self._blows:
            return
        blow = self._blows[0]
        if time.monotonic() - self._set_going < blow.seconds or self._thinker.arrived < blow.requests:
            return
        self._blows.pop(0)
        workers = workers_of(self.backend.home) if blow.victim in ("worker", "both") else []
        if blow.victim == "worker" and not workers:
            return  # there is none at this instant: nothing was killed
        if blow.victim == "both" and not workers:
            blow = replace(blow, victim="backend")
        self._struck.append(str(blow))
        self._set_going = time.monotonic()
        for worker in workers:
            worker.kill()
        if blow.victim in ("backend", "both"):
            self.backend.kill()
        if blow.victim == "database":
            assert self._crash_database is not None
            self._crash_database()

    def _step(self) -> Outcome | None:
        """One look at the session, and what a user would do next; its outcome once it is COMPLETED."""
        self._strike_if_due()
        if self._operation_id is None:
            self._begin()
            return None
        answer = self.backend.client.get(f"/operations/{self._operation_id}")
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()["data"]
        self._look_at_session()
        self._thinker.look(self.backend, self._session_id)
        if self._restarted:
            self._look_after_restart(found)
            self._restarted = False
        if found["status"] == "COMPLETED":
            return self._outcome(found)
        if found["status"] in ("FAILED", "CANCELLED"):
            self._resume(found)
        return None

    def _begin(self) -> None:
        """Trigger, unless the trigger whose answer was lost has been heard."""
        answer = self.backend.client.get("/agent/sessions")
        if answer.status_code != 200:
            return
        known = answer.json()["data"]
        assert len(known) <= 1
        if known:
            self._know(known[0])
            return
        body = {"trigger_reason": "start_new_cycle", "seed": SEED, "dataset": "nasdaq"}
        answer = self.backend.client.post("/agent/trigger", json={**body, **self._thinker.asked})
        if answer.status_code == 503:
            return
        assert answer.status_code == 202, answer.text
        self._know(answer.json()["data"])
        self._restarted = False  # there was nothing yet to tell the truth about
        self._set_going = time.monotonic()

    def _know(self, session: Mapping[str, Any]) -> None:
        self._operation_id = session["operation_id"]
        self._session_id = session["session_id"]

    def _look_at_session(self) -> None:
        """A phase that was reached stays reached, and a child that was finished is never touched again."""
        answer = self.backend.client.get(f"/agent/sessions/{self._session_id}")
        if answer.status_code == 503:
            return
        assert answer.status_code == 200, answer.text
        session = answer.json()["data"]
        reached = PHASES.index(session["phase"])
        assert reached >= self._furthest, f"{session['phase']} after {PHASES[self._furthest]}"
        self._furthest = reached
        for child in session["children"]:
            if child["operation_id"] in self._finished:
                assert child == self._finished[child["operation_id"]], "a finished phase was run again"
            elif child["status"] == "COMPLETED":
                self._finished[child["operation_id"]] = child

    def _look_after_restart(self, found: Mapping[str, Any]) -> None:
        """A restarted backend tells the truth at once, and nothing that is kept was damaged."""
        if found["status"] == "FAILED" and found["error_code"] == "BACKEND_RESTARTED":
            assert found["error_message"] == RESTARTED
            assert found["resumable"]
        else:  # it had ended before its backend died
            assert found["status"] in ("COMPLETED", "FAILED"), found["status"]
        answer = self.backend.client.get("/checkpoints")
        if answer.status_code == 200:
            kept = {one["operation_id"]: one["integrity"] for one in answer.json()["data"]}
            assert set(kept.values()) <= {"intact"}, kept

    def _resume(self, found: Mapping[str, Any]) -> None:
        if self._thinker.caused(found):
            if not self._thinker.mend(self.backend, self._session_id, found):
                return
        else:
            message = str(found["error_message"])
            assert message == RESTARTED or any(lost in message for lost in LOST), message
        answer = self.backend.resume(str(self._operation_id))
        if answer.status_code == 503:
            return
        assert answer.status_code == 200, answer.text
        self._resumes += 1
        self._set_going = time.monotonic()

    def _outcome(self, done: Mapping[str, Any]) -> Outcome:
        session = self.backend.get(f"/agent/sessions/{self._session_id}")
        return Outcome(
            done["result"]["fingerprint"],
            computed(session),
            self.kills(),
            self._resumes,
            shown_usd=self._thinker.shown(self.backend, self._session_id),
        )


def computed(session: Mapping[str, Any]) -> dict[str, Any]:
    """All that a session computed, without the places of its files."""
    names = ("training_result", "backtest_result", "holdout_result")
    results = {name: dict(session[name]) for name in names}
    results["training_result"]["model"] = results["training_result"]["model"]["files"]
    for name in names[1:]:
        results[name]["report"] = results[name]["report"]["files"]
    kept = ("strategy_config", "research_notes", "gates", "assessment", "result_fingerprint")
    return {**results, **{name: session[name] for name in kept}}


def boundaries(home: Path) -> dict[str, list[str]]:
    """Role → the labels of the boundaries it crossed, in order. For a session that nothing killed."""
    found: dict[str, list[str]] = {}
    for line in (home / seam.FOLDER / seam.LOG).read_text().splitlines():
        role, _, _, label = line.split("\t")
        found.setdefault(role, []).append(label)
    return found


def every_point(labels: Sequence[str]) -> list[Point]:
    """Before and after each boundary."""
    return [(number, when) for number in range(1, len(labels) + 1) for when in ("before", "after")]


def forget(home: Path) -> None:
    """A home is some megabytes, and there are hundreds."""
    shutil.rmtree(home, ignore_errors=True)
