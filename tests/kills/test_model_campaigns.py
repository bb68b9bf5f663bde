"""Campaigns whose sessions a language model thinks for: killed, and out of money."""

from __future__ import annotations

import asyncio
import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ktrdr.domain.calls import CallStatus, JournalledCall
from ktrdr.persistence.unit_of_work import Database
from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory, free_port
from tests.integration.strategies import OPEN_GATES, SMALL
from tests.kills.test_campaigns import completed, found_by, killed, start
from tests.provider.replies import Asked, Call, Reply
from tests.provider.server import FakeProvider
from tests.provider.sessions import BRIEF, DESIGN_REQUESTS, purpose_of, script_of, told

pytestmark = pytest.mark.timeout(900)
SESSIONS = 3
REQUESTS = SESSIONS * (DESIGN_REQUESTS + 1)
BEFORE = re.compile(r'(?:Experiments before this one: |"experiments_before":)(\d+)')


def before(asked: Asked) -> int:
    """How many experiments the model was told of: the session's number less one."""
    found = BEFORE.search(asked.turns[0].text)
    assert found is not None
    return int(found[1])


def lesson(earlier: int) -> str:
    return f"Experiment {earlier + 1} has taught this."


def script(asked: Asked) -> Reply:
    """Another strategy and another lesson with every experiment that it is told of; the answers that a test
    kills in are slow."""
    earlier = before(asked)
    strategy = copy.deepcopy(SMALL) | {"name": f"after_{earlier}"}
    strategy["training"]["epochs"] = 3 + earlier
    reply = script_of(strategy, slow={3: 0.6})(asked)
    assert isinstance(reply, Call)
    if purpose_of(asked) == "design":
        return reply
    ((tool, opinion),) = reply.calls
    return replace(reply, calls=((tool, {**opinion, "lesson": lesson(earlier)}),), delay=0.6)


def environment(provider: FakeProvider) -> dict[str, str]:
    return {
        **told(provider),
        "KTRDR_BUDGET_SESSION_USD": "50",
        "KTRDR_BUDGET_DAY_USD": "500",
        **OPEN_GATES,
    }


def journal(backend: Backend) -> list[JournalledCall]:
    """Every row, in the order of the reservations."""

    async def rows() -> list[JournalledCall]:
        database = Database(
            backend.environment.get("KTRDR_DATABASE_URL")
            or f"sqlite+aiosqlite:///{backend.home / 'ktrdr.db'}"
        )
        try:
            async with database.read() as tx:
                sessions = await tx.operations.list()
                found = [row for one in sessions for row in await tx.calls.list(one.operation_id)]
        finally:
            await database.close()
        return sorted(found, key=lambda one: one.call_id)

    return asyncio.run(rows())


def place(campaign_id: str, row: JournalledCall) -> tuple[str, str, int]:
    return row.operation_id.removeprefix(campaign_id), row.purpose, row.sequence


def strategies(backend: Backend) -> list[Any]:
    return [one["strategy_config"] for one in reversed(backend.get("/agent/sessions"))]


@dataclass(frozen=True)
class Whole:
    """A campaign that nothing interrupted: what it found, what it asked, and what that cost."""

    campaign: dict[str, Any]
    strategies: list[Any]
    asked: list[str]
    rows: list[JournalledCall]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with FakeProvider(script) as provider:
        backend = Backend(tmp_path_factory.mktemp("whole"), free_port(), **environment(provider))
        try:
            backend.start()
            found = completed(backend, start(backend, brief=BRIEF))
            yield Whole(found, strategies(backend), provider.texts(), journal(backend))
        finally:
            backend.close()


def test_each_session_is_told_of_those_before_it(whole: Whole) -> None:
    """What the kills are compared with is worth it."""
    assert [one["name"] for one in whole.strategies] == ["after_0", "after_1", "after_2"]
    assert len(whole.asked) == len(whole.rows) == REQUESTS
    last = DESIGN_REQUESTS - 1  # of a design: it has all that was said
    designs = [whole.asked[number * (DESIGN_REQUESTS + 1) + last] for number in range(SESSIONS)]
    told_of = [[number for number in range(SESSIONS) if lesson(number) in design] for design in designs]
    assert told_of == [[], [0], [0, 1]]


def test_killed_and_resumed_it_asks_the_same_and_finds_the_same(backend: Backend, whole: Whole) -> None:
    """Killed in a design, in a training with its worker, between sessions, in an opinion and right behind a
    resume: only what was on its way is asked again."""
    with FakeProvider(script) as provider:

        def asked(purpose: str, earlier: int, answers: int) -> None:
            def look() -> bool:
                return any(
                    (purpose_of(one.asked), before(one.asked), one.asked.answers)
                    == (purpose, earlier, answers)
                    for one in [*provider.served]
                )

            eventually(look, within=120.0, what=f"request {answers + 1} of {purpose} {earlier + 1}")

        backend.stop()
        backend.environment.update(environment(provider))
        backend.start()
        campaign_id = start(backend, brief=BRIEF, budget_usd=40.0)
        asked("design", 0, 3)
        killed(backend, campaign_id, workers=False)
        backend.await_status(f"{campaign_id}.s001.training", "RUNNING")
        killed(backend, campaign_id, workers=True)
        backend.await_status(f"{campaign_id}.s001", "COMPLETED")
        killed(backend, campaign_id, workers=False)
        asked("assess", 1, 0)
        killed(backend, campaign_id, workers=False)
        killed(backend, campaign_id, workers=False)
        found = completed(backend, campaign_id)

        assert found_by(found) == found_by(whole.campaign)
        assert found["result"]["fingerprint"] == whole.campaign["result"]["fingerprint"]
        assert strategies(backend) == whole.strategies
        assert [*dict.fromkeys(provider.texts())] == whole.asked

        rows = journal(backend)
        lost = [place(campaign_id, one) for one in rows if one.status is not CallStatus.RECORDED]
        recorded = [place(campaign_id, one) for one in rows if one.status is CallStatus.RECORDED]
        assert len({*recorded}) == len(recorded) == REQUESTS
        assert lost[:1] == [(".s001", "design", 4)]
        assert (".s002", "assess", 1) in lost
        # The other kills may have come between a reservation and its request.
        assert len(lost) <= 5
        assert REQUESTS + 2 <= provider.arrived <= len(rows)
        spent = sum(one.counted_usd for one in rows)
        assert found["budget"] == {"limit_usd": 40.0, "spent_usd": pytest.approx(spent)}


def test_out_of_money_it_stops_and_goes_on_with_more(sqlite_backend: BackendFactory, whole: Whole) -> None:
    """In the second session's design, with a checkpoint and the two commands; nothing is paid twice."""
    earlier, needed = 0.0, []
    for row in whole.rows:
        if ".s002" in row.operation_id and row.purpose == "design":
            needed.append(earlier + row.worst_usd)
        earlier += row.counted_usd
    enough = max(needed) - 1e-6
    with FakeProvider(script) as provider:
        backend = sqlite_backend(**environment(provider))
        backend.start()
        campaign_id = start(backend, brief=BRIEF, budget_usd=enough)
        stopped = backend.await_status(campaign_id, "FAILED", within=240.0)
        assert stopped["error_code"] == "BUDGET_EXHAUSTED"
        message = stopped["error_message"]
        assert f"session 2 could not go on: The campaign's budget of ${enough:.2f} does not take" in message
        assert f"ktrdr research budget --campaign {campaign_id} --set " in message
        assert f"then: ktrdr operations resume {campaign_id}" in message
        assert (stopped["checkpoint"]["checkpoint_type"], stopped["checkpoint"]["sessions"]) == ("failure", 1)
        assert sum(one.counted_usd for one in journal(backend)) <= enough

        assert "COMPLETED" in cli(backend, "research", "campaign", campaign_id)
        cli(backend, "research", "budget", "--campaign", campaign_id, "--set", "40")
        cli(backend, "operations", "resume", campaign_id)
        found = completed(backend, campaign_id)
        assert found_by(found) == found_by(whole.campaign)
        assert provider.texts() == whole.asked
        assert len(journal(backend)) == REQUESTS
        assert found["budget"]["limit_usd"] == 40.0


def cli(backend: Backend, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ktrdr.cli", *words],
        env={**os.environ, "KTRDR_URL": f"http://127.0.0.1:{backend.port}", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout
