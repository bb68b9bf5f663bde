"""A short crash run; `make test-crash` is the long one."""

from __future__ import annotations

import random

import pytest

from tests.crash.research import Blow
from tests.crash.script import VICTIMS, boundary_scenes
from tests.crash.theatre import DATABASES, Theatre


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.timeout(300)
def test_a_session_that_is_killed_again_and_again_finds_the_same(database: str) -> None:
    """At drawn boundaries in one session and at any instant in another: same numbers, nothing run twice."""
    theatre = Theatre(database)
    chosen = random.Random(6)
    try:
        whole, crossed = theatre.rehearse()
        scene = next(boundary_scenes(crossed, chosen))
        blows = [Blow(victim, chosen.uniform(0.2, 2.0)) for victim in VICTIMS]
        outcome = theatre.play(plan=scene.plan, blows=blows, hash_seed=1)
        assert len(outcome.kills) >= len(blows)
        assert (outcome.fingerprint, outcome.computed) == (whole.fingerprint, whole.computed)
    finally:
        theatre.close()
