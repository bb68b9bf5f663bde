"""How long an epoch takes, what is left, and how fast bars go by."""

from __future__ import annotations

import time

import pytest

from ktrdr.workers.jobs.pace import Pace, SpeedLimit


def test_before_the_first_epoch_nothing_is_known() -> None:
    pace = Pace(100.0)
    assert (pace.seconds, pace.left(5)) == (None, None)


def test_the_first_epochs_count_alike() -> None:
    pace = Pace(100.0)
    for now in (102.0, 106.0, 109.0):
        pace.epoch(now)
    assert pace.seconds == pytest.approx(3.0)
    assert pace.left(4) == pytest.approx(12.0)


def test_a_change_of_pace_is_followed() -> None:
    """After a hundred epochs of 1 s, forty of 3 s: a mean of all would still say 1.6."""
    pace, now = Pace(0.0), 0.0
    for took in [1.0] * 100 + [3.0] * 40:
        now += took
        pace.epoch(now)
    assert pace.seconds == pytest.approx(3.0, abs=0.05)


def test_bars_go_by_no_faster_than_the_limit_and_in_small_steps() -> None:
    """Of 1,000 a second a chunk is what goes by between two looks at whether to stop."""
    limit = SpeedLimit(1000.0, 100_000)
    assert limit.chunk == 50
    begun = time.monotonic()
    limit.wait(limit.chunk, lambda: False)
    limit.wait(limit.chunk, lambda: False)
    assert time.monotonic() - begun >= 0.099


def test_a_slow_simulation_stops_at_once() -> None:
    """However long the next bar would have been waited for."""
    limit = SpeedLimit(1.0, 100_000)
    begun = time.monotonic()
    limit.wait(3600, lambda: True)
    assert (limit.chunk, time.monotonic() - begun < 60.0) == (1, True)


def test_without_a_limit_nothing_is_waited_for() -> None:
    limit = SpeedLimit(None, 100_000)
    limit.wait(10**12, lambda: False)
    assert limit.chunk == 100_000
