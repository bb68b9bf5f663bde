"""A training at the mercy of everybody: twenty interruptions, and not a bit of the result is another."""

from __future__ import annotations

import pytest

from tests.integration.conftest import BackendFactory
from tests.integration.interruptions import WAYS, dropping, interrupted, points, uninterrupted

POINTS = 20
SEED = 4


@pytest.mark.timeout(400)
def test_twenty_interruptions_change_nothing(sqlite_backend: BackendFactory) -> None:
    """Cancels, SIGTERMs and SIGKILLs at random moments, each resumed over HTTP: weights, history and metrics
    are those of the training that ran through."""
    at = points(POINTS, SEED)
    assert {point.way for point in at} == set(WAYS)
    whole = sqlite_backend("whole")
    whole.start()
    strategy = dropping(2000)  # some twenty seconds
    wanted = uninterrupted(whole, strategy)
    whole.close()
    hit = sqlite_backend("hit")
    hit.start()
    assert interrupted(hit, strategy, at) == wanted
