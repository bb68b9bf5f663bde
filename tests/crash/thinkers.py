"""Who thinks in a session: nobody, since the user gave the strategy, or a language model on loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.crash.ledger import RATE, USD, Paid, audit
from tests.integration.backend import Backend
from tests.integration.strategies import SMALL
from tests.provider.server import FakeProvider
from tests.provider.sessions import BRIEF, DESIGN_REQUESTS, script_of, told

THINKERS = ("offline", "model")
STRATEGY = {
    **SMALL,
    "training": {**SMALL["training"], "epochs": 150},
}  # some three seconds: periodic checkpoints
# Each answer takes a while, so that some are on their way at any instant.
SLOW = dict.fromkeys(range(DESIGN_REQUESTS), 0.4)
# Three calls that are lost, each at its worst, exhaust it: it is raised, and the session goes on.
SESSION_USD = 1.0
RAISE = re.compile(r"may cost \$([\d.]+)\. Raise it \(ktrdr research budget --session (\d+) --set ([\d.]+)\)")
DEATHS = ("backend", "both", "database")  # with which a call may be lost on its way
EXHAUSTED = "BUDGET_EXHAUSTED"


class Thinker:
    """Nobody: the strategy is the user's, and the verdict is by rule."""

    asked: Mapping[str, Any] = {"strategy": STRATEGY}  # in the trigger's body

    def environment(self, home: Path) -> dict[str, str]:
        return {}

    @property
    def arrived(self) -> int:
        """How many requests have come to it."""
        return 0

    def look(self, backend: Backend, session_id: int) -> None:
        """What must hold at any moment."""

    def caused(self, failed: Mapping[str, Any]) -> bool:
        """Whether it was for the thinker that the session failed."""
        return False

    def mend(self, backend: Backend, session_id: int, failed: Mapping[str, Any]) -> bool:
        """Do what a user would do about that; whether it was heard."""
        return True

    def shown(self, backend: Backend, session_id: int) -> list[float]:
        """The finished session's spend, wherever the API gives it."""
        standing = backend.get("/agent/budget", session_id=session_id)["session"]
        looks = (backend.get("/agent/status"), backend.get(f"/agent/sessions/{session_id}"))
        return [standing["spent_usd"], *(one["spend"]["usd"] for one in looks)]

    def paid(self, url: str, kills: Sequence[str], shown_usd: Sequence[float]) -> Paid:
        """What was asked of it, once the session is COMPLETED. Raises Miscounted."""
        return audit(url, [], deaths=0, shown_usd=shown_usd)


class Model(Thinker):
    """A scripted one, over a provider's real protocol."""

    asked: Mapping[str, Any] = {"brief": BRIEF}

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider
        self._raised = 0

    def environment(self, home: Path) -> dict[str, str]:
        prices = home / "prices.json"
        prices.write_text(json.dumps({"claude-opus-5": RATE}))
        budget = {"KTRDR_BUDGET_SESSION_USD": str(SESSION_USD), "KTRDR_LLM_PRICES": str(prices)}
        return told(self._provider) | budget

    @property
    def arrived(self) -> int:
        return self._provider.arrived

    def look(self, backend: Backend, session_id: int) -> None:
        answer = backend.client.get("/agent/budget", params={"session_id": session_id})
        if answer.status_code == 503:
            return
        assert answer.status_code == 200, answer.text
        for scope in ("session", "day"):
            one = answer.json()["data"][scope]
            assert one["spent_usd"] <= one["limit_usd"] + USD, f"beyond the budget of the {scope}: {one}"

    def caused(self, failed: Mapping[str, Any]) -> bool:
        return bool(failed["error_code"] == EXHAUSTED)

    def mend(self, backend: Backend, session_id: int, failed: Mapping[str, Any]) -> bool:
        """Raise the budget by the command that the failure names."""
        found = RAISE.search(failed["error_message"])
        assert found is not None, failed["error_message"]
        assert int(found[2]) == session_id
        body = {"limit_usd": float(found[3]), "session_id": session_id}
        answer = backend.client.put("/agent/budget", json=body)
        if answer.status_code == 503:
            return False
        assert answer.status_code == 200, answer.text
        self._raised += 1
        return True

    def paid(self, url: str, kills: Sequence[str], shown_usd: Sequence[float]) -> Paid:
        deaths = sum(re.split(r"[. ]", one)[0] in DEATHS for one in kills)
        found = audit(url, self._provider.served, deaths=deaths, shown_usd=shown_usd)
        assert len(found.asked) == DESIGN_REQUESTS + 1, found.asked
        return replace(found, raised=self._raised)


@contextmanager
def thinker_of(kind: str) -> Iterator[Thinker]:
    """One a session. A provider of its own outlives every kill."""
    if kind == "offline":
        yield Thinker()
        return
    with FakeProvider(script_of(STRATEGY, slow=SLOW)) as provider:
        yield Model(provider)
