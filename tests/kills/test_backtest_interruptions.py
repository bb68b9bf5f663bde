"""A backtest at the mercy of everybody: twenty interruptions, and not a bit of its trades is another."""

from __future__ import annotations

import pytest

from tests.integration.backtests import backtest, comparable, interrupted, trained_on_minutes
from tests.integration.conftest import BackendFactory
from tests.integration.interruptions import WAYS, points

POINTS = 20
SEED = 5


@pytest.mark.timeout(600)
def test_twenty_interruptions_change_nothing(sqlite_backend: BackendFactory) -> None:
    """Cancels, SIGTERMs and SIGKILLs at random bars, each resumed over HTTP: trades, equity, metrics and the
    bytes of every file of the report are those of the backtest that ran through."""
    at = points(POINTS, SEED)
    assert {point.way for point in at} == set(WAYS)
    backend = sqlite_backend()
    backend.start()
    training = trained_on_minutes(backend)
    whole = backtest(backend, training_operation_id=training)
    assert whole["result"]["bars"] > 50_000
    assert whole["result"]["metrics"]["trades"] > 100
    slow = whole["result"]["bars"] / 40.0  # some forty seconds
    hit = interrupted(backend, at, training_operation_id=training, bars_per_second=slow)
    assert comparable(hit) == comparable(whole)
