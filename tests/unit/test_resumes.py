"""When resuming gets nowhere: counted by where each resume went on, and how its attempt ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ktrdr.domain.operations import Operation, OperationType, Progress, Resources, Status
from ktrdr.domain.resumes import Ending, Position, Resume, stuck

HERE = Position("TRAINING", "op.training", epoch=17)
FAILED = Operation(
    operation_id="op",
    operation_type=OperationType.AGENT_RESEARCH,
    status=Status.FAILED,
    is_backend_local=True,
    parent_operation_id=None,
    request={},
    attempt=9,
    owner="me",
    executor_ref=None,
    lease_expires_at=None,
    cancel_requested_at=None,
    progress=Progress(),
    result=None,
    error_code="LAST",
    error_message="the last one",
    error_details=None,
    resources=Resources(),
    revision=1,
    created_at=0.0,
    queued_at=0.0,
    started_at=0.0,
    completed_at=5.0,
    updated_at=0.0,
)


def resumes(*positions: Position, code: str | None = "LOST") -> list[Resume]:
    """One a position; before each, an attempt ended with the code."""
    return [
        Resume("op", Ending(number, code, f"error {number}", float(number)), at)
        for number, at in enumerate(positions)
    ]


def test_the_third_resume_without_progress_is_one_too_many() -> None:
    """What is told are the ends of the attempts that the three began, the last of them the row's own."""
    assert stuck(FAILED, resumes(HERE, HERE), HERE) is None
    found = stuck(FAILED, resumes(HERE, HERE, HERE), HERE)
    assert found is not None
    assert found.resumes == 3
    assert [one.message for one in found.endings] == ["error 1", "error 2", "the last one"]
    assert found.endings[-1] == Ending(9, "LAST", "the last one", 5.0)


@pytest.mark.parametrize(
    "further",
    [
        replace(HERE, epoch=18),
        replace(HERE, child_done=True, epoch=None),
        Position("BACKTESTING", "op.backtesting"),
        Position("COMPLETED"),
    ],
)
def test_any_progress_begins_the_count_anew(further: Position) -> None:
    assert stuck(FAILED, resumes(HERE, HERE, HERE), further) is None
    assert stuck(FAILED, resumes(HERE, HERE, further), further) is None
    assert stuck(FAILED, resumes(HERE, further, further, further), further) is not None


def test_progress_in_between_counts_however_it_ended() -> None:
    further = replace(HERE, epoch=18)
    assert stuck(FAILED, resumes(HERE, HERE, further, further), further) is None


def test_falling_back_is_no_progress() -> None:
    """A child's checkpoint was deleted: the same epochs again are not further."""
    back = replace(HERE, epoch=None)
    assert stuck(FAILED, resumes(HERE, HERE, HERE), back) is not None


def test_an_attempt_that_runs_has_not_failed_yet() -> None:
    waiting = replace(FAILED, status=Status.PENDING, error_code=None)
    assert stuck(waiting, resumes(HERE, HERE, HERE), HERE) is None
    assert stuck(waiting, resumes(HERE, HERE, HERE, HERE), HERE) is not None


def test_what_somebody_stopped_says_nothing() -> None:
    """Three cancels in the first epoch are a change of mind, not a poison; they hide none either."""
    cancelled = replace(FAILED, status=Status.CANCELLED, error_code=None)
    assert stuck(cancelled, resumes(HERE, HERE, HERE, code=None), HERE) is None
    assert stuck(cancelled, resumes(HERE, HERE, HERE, HERE), HERE) is not None


def test_bars_count_and_a_phase_that_nobody_knows_is_no_error() -> None:
    assert Position(bar=301).is_beyond(Position(bar=300))
    assert not Position(bar=300).is_beyond(Position(bar=300))
    assert Position("DESIGNING").is_beyond(Position("UNHEARD OF"))
    assert Position.from_json(HERE.to_json()) == HERE
