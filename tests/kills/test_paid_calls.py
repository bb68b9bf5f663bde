"""Kills in the middle of conversations with a provider: what was answered is never paid for again."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from ktrdr.domain.calls import JournalledCall
from ktrdr.persistence.unit_of_work import Database
from tests.provider.conversation import TOOLS, script
from tests.provider.replies import Asked, Reply
from tests.provider.server import FakeProvider

T = TypeVar("T")
REQUESTS = 2 * (TOOLS + 1)  # of an uninterrupted life: design and assess
BOUNDARIES = 1 + 2 * REQUESTS  # the claim, then a reservation and a record each
BUDGET = 1000.0
KILLS = 100


class Lives:
    """Conversations that are begun again and again."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def live(self, words: str) -> tuple[int, str | None]:
        """Its exit status (-9: killed) and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        status, _, said = self._process.stdout.readline().partition(" ")
        return int(status), json.loads(said)


class Watched:
    """The script, and at each request a look into the journal: it is there, and within the budget."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="watch")
        self._thread.start()
        self._run(self._database.migrate())
        self.operation_id = ""
        self._lock = threading.Lock()
        self.wrong: list[str] = []
        self.arrived = 0

    def begin(self, operation_id: str) -> None:
        self.operation_id, self.arrived = operation_id, 0

    def __call__(self, asked: Asked) -> Reply:
        with self._lock:
            self.arrived += 1
            arrived = self.arrived
        rows = self.rows()
        if len(rows) < arrived:
            self.wrong.append(f"{arrived} requests and {len(rows)} rows")
        spent = sum(one.counted_usd for one in rows)
        if spent > BUDGET:
            self.wrong.append(f"${spent} of ${BUDGET}")
        return script(asked)

    def rows(self) -> list[JournalledCall]:
        return self._run(self._rows())

    def close(self) -> None:
        self._run(self._database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _rows(self) -> list[JournalledCall]:
        async with self._database.read() as tx:
            return await tx.calls.list(self.operation_id)

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)


@contextmanager
def staged(url: str) -> Iterator[tuple[Watched, FakeProvider, Lives]]:
    watched = Watched(url)
    with FakeProvider(watched) as provider:
        command = [sys.executable, "-m", "tests.provider.conversation", url, provider.url("anthropic")]
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, str(BUDGET)], stdin=pipe, stdout=pipe, text=True) as process:
            yield watched, provider, Lives(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=60) == 0
    watched.close()
    assert watched.wrong == []


def judge(watched: Watched, provider: FakeProvider) -> int:
    """The ledger beside the provider's own; how many calls were lost in flight."""
    rows = watched.rows()
    recorded = [one for one in rows if one.status == "RECORDED"]
    lost = [one for one in rows if one.status == "LOST"]
    assert len(recorded) + len(lost) == len(rows)
    assert len({(one.purpose, one.sequence) for one in recorded}) == len(recorded) == REQUESTS
    billed = [(one.input_tokens, one.output_tokens) for one in provider.paid]
    for (
        one
    ) in recorded:  # each recorded answer was billed once; what else was billed is in the ledger as lost
        assert one.input_tokens is not None
        assert one.output_tokens is not None
        billed.remove((one.input_tokens, one.output_tokens))
    assert len(billed) <= len(lost)
    provider.forget()
    return len(lost)


@pytest.mark.timeout(900)
def test_a_kill_at_any_commit_repeats_the_call_in_flight_only(database_url: str) -> None:
    """Before and after each commit of a conversation, a session each."""
    with staged(database_url) as (watched, provider, conversation):
        watched.begin("whole")
        status, whole = conversation.live("whole whole")
        assert (status, len(provider.paid)) == (0, REQUESTS)
        assert whole is not None
        assert whole.startswith("all ['2', '4', '6', '8']all ['2', '4', '6', '8']"), whole
        assert judge(watched, provider) == 0
        for boundary in range(1, BOUNDARIES + 1):
            for when in ("before", "after"):
                watched.begin(f"{when}{boundary}")
                assert conversation.live(f"{watched.operation_id} boundary {boundary} {when}")[0] == -9
                assert conversation.live(f"{watched.operation_id} whole") == (0, whole)
                # It was answered and not recorded: the one that is paid twice. Or reserved and not sent.
                records = boundary % 2 == 1 and boundary > 1
                repeated = records and when == "before"
                reserved = not records and boundary > 1 and when == "after"
                assert len(provider.paid) == REQUESTS + repeated, (boundary, when)
                assert judge(watched, provider) == (repeated or reserved), (boundary, when)


def timed(conversation: Lives, words: str) -> tuple[float, int, str | None]:
    """A life's seconds, its exit status and what it said."""
    begun = time.monotonic()
    status, said = conversation.live(words)
    return time.monotonic() - begun, status, said


@pytest.mark.timeout(900)
def test_a_hundred_kills_at_any_instant(database_url: str) -> None:
    """The ledger is the provider's own count, the calls in flight apart."""
    chosen = random.Random(7)
    with staged(database_url) as (watched, provider, conversation):
        kills = lost = paid = sessions = 0
        watched.begin("timed")
        longest, status, _ = timed(conversation, "timed whole")
        assert status == 0
        judge(watched, provider)
        while kills < KILLS:
            watched.begin(f"session{sessions}")
            sessions += 1
            lives, status, said = 0, -9, None
            while status == -9:
                word = f"instant {chosen.uniform(0.1, 0.9 * longest):.3f}" if kills < KILLS else "whole"
                seconds, status, said = timed(conversation, f"{watched.operation_id} {word}")
                kills += status == -9
                lives += 1
            assert status == 0
            if lives == 1:  # too fast to be killed: the machine has become quicker
                longest = seconds
            assert said is not None
            assert said.startswith("all ['2', '4', '6', '8']all ['2', '4', '6', '8']"), said
            paid += len(provider.paid)
            lost += judge(watched, provider)
    print(f"{kills} kills of {sessions} sessions: {paid} requests billed, {lost} lost in flight")
