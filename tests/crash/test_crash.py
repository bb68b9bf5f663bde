"""A short crash run; `make test-crash` is the long one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.crash.research import Blow, Outcome, every_point
from tests.crash.script import ROLES, VICTIMS
from tests.crash.theatre import DATABASES, Theatre

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
    assert (outcome.fingerprint, outcome.computed) == (whole.fingerprint, whole.computed)
