"""How long an epoch takes, and what is left."""

from __future__ import annotations

import pytest

from ktrdr.workers.jobs.pace import Pace


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
