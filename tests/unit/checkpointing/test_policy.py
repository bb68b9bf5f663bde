"""When a checkpoint is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.checkpointing.policy import Cadence, CheckpointPolicy


@pytest.mark.parametrize(
    ("epochs", "seconds", "due"),
    [(5, 0.0, True), (9, 0.0, True), (4, 29.9, False), (1, 30.0, True), (0, 99.0, True), (0, 0.0, False)],
)
def test_it_is_due_when_either_is_reached(epochs: int, seconds: float, due: bool) -> None:
    """Five epochs or thirty seconds, whichever comes first."""
    assert CheckpointPolicy(every_epochs=5, every_seconds=30.0).due(epochs, seconds) is due


def test_without_seconds_only_epochs_count() -> None:
    """The default is every epoch, however long one takes."""
    assert CheckpointPolicy().due(1, 0.0)
    assert not CheckpointPolicy(every_epochs=2).due(1, 1e9)


@pytest.mark.parametrize(
    "wrong", [{"every_epochs": 0}, {"every_seconds": 0.0}, {"every_seconds": float("nan")}]
)
def test_a_policy_that_is_never_or_always_due_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="every_"):
        CheckpointPolicy(**wrong)  # type: ignore[arg-type]


def test_a_cadence_counts_anew_from_each_that_was_due() -> None:
    """Every third epoch, or ten seconds after the last one that was due; never sooner."""
    cadence = Cadence(CheckpointPolicy(every_epochs=3, every_seconds=10.0), 0.0)
    due = [cadence.epoch(now) for now in (1.0, 2.0, 3.0, 4.0, 13.0, 14.0, 15.0, 16.0)]
    assert due == [False, False, True, False, True, False, False, True]


@given(
    every=st.integers(1, 7),
    seconds=st.one_of(st.none(), st.floats(0.1, 10.0)),
    lengths=st.lists(st.floats(0.0, 5.0), max_size=60),
)
def test_no_more_is_ever_lost_than_the_policy_says(
    every: int, seconds: float | None, lengths: list[float]
) -> None:
    """At the end of any epoch that is not due, fewer epochs and fewer seconds than allowed are at risk."""
    cadence, now, last, at_risk = Cadence(CheckpointPolicy(every, seconds), 0.0), 0.0, 0.0, 0
    for length in lengths:
        now, at_risk = now + length, at_risk + 1
        if cadence.epoch(now):
            last, at_risk = now, 0
        assert at_risk < every
        assert seconds is None or now - last < seconds
