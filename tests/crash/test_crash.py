"""A short crash run; `make test-crash` is the long one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.crash.research import Blow, Outcome, every_point
from tests.crash.script import ROLES, VICTIMS
from tests.crash.theatre import DATABASES, Theatre
from tests.provider.sessions import DESIGN_REQUESTS

Rehearsal = tuple[Outcome, dict[str, list[str]]]


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    """The session that nothing kills. What it finds does not depend on the database."""
    theatre = Theatre("sqlite")
    yield theatre.rehearse()
    theatre.close()


@pytest.mark.parametrize("database", DATABASES)
def test_a_session_that_is_killed_again_and_again_finds_the_same(rehearsal: Rehearsal, database: str) -> None:
    """Each of its processes dies at a boundary, and then at any instant: same numbers, nothing run twice."""
    whole, crossed = rehearsal
    chosen = random.Random(database)
    plan = {role: [chosen.choice(every_point(crossed[role]))] for role in ROLES}
    blows = [Blow(victim, chosen.uniform(0.2, 2.0)) for victim in VICTIMS]
    theatre = Theatre(database)
    try:
        outcome = theatre.play(plan=plan, blows=blows, hash_seed=1)
    finally:
        theatre.close()
    assert len(outcome.kills) >= len(blows)
    assert outcome.equals(whole)


def test_what_a_model_thought_is_paid_once(rehearsal: Rehearsal) -> None:
    """Killed in the middle of its design, it computes what was computed without a model."""
    whole, _ = rehearsal
    chosen = random.Random(1)
    theatre = Theatre(chosen.choice(DATABASES))
    blows = [Blow("backend", requests=chosen.randint(1, DESIGN_REQUESTS))]
    try:
        outcome = theatre.play(blows=blows, hash_seed=1, thinker="model")
    finally:
        theatre.close()
    assert len(outcome.kills) == len(blows)
    assert (outcome.paid.requests, outcome.paid.again, outcome.paid.lost) == (DESIGN_REQUESTS + 2, 1, 1)
    thought = ("assessment", "research_notes", "result_fingerprint")
    for name in whole.computed.keys() - {*thought}:
        assert outcome.computed[name] == whole.computed[name], name
    assert outcome.computed["assessment"]["summary"] == whole.computed["assessment"]["summary"]
