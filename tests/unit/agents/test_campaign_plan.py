"""What a campaign does next, from its state alone."""

from __future__ import annotations

import pytest

from ktrdr.agents.campaign_plan import may_begin, plan_of_campaign
from ktrdr.checkpointing.schemas import CampaignCheckpointState
from ktrdr.domain.campaigns import MAX_SESSIONS, session_operation_id, session_seed, settled
from ktrdr.domain.operations import is_safe_key
from ktrdr.domain.resumes import Position


def state(begun: int, *ended: int, parallel: int = 2) -> CampaignCheckpointState:
    return CampaignCheckpointState("campaign_1", 5, parallel, begun, ended)


@pytest.mark.parametrize(
    ("at", "may"),
    [
        (state(0), True),
        (state(1), True),
        (state(2), False),
        (state(2, 2), False),  # the third learns from the first
        (state(2, 1), True),
        (state(4, 1, 3), False),
        (state(4, 1, 2, 3), True),
        (state(5, 1, 2, 3, 4), False),  # all have begun
        (state(1, parallel=1), False),
        (state(1, 1, parallel=1), True),
    ],
)
def test_a_session_begins_once_all_it_learns_from_has_ended(at: CampaignCheckpointState, may: bool) -> None:
    assert may_begin(at) is may


def test_no_more_than_parallel_are_ever_open() -> None:
    """The window is the limit: what may begin has fewer than `parallel` open ones beside it."""
    for parallel in (1, 2, 3):
        for number in range(1, 6):
            assert number - settled(number, parallel) <= parallel


def test_ids_are_safe_and_seeds_are_a_users() -> None:
    """The longest id of a session's child passes as part of a path; seeds differ and fit their column."""
    longest = session_operation_id(f"campaign_{'f' * 12}", MAX_SESSIONS)
    assert is_safe_key(f"{longest}.backtesting")
    seeds = [session_seed(7, number) for number in range(1, MAX_SESSIONS + 1)]
    assert len(set(seeds)) == MAX_SESSIONS
    assert all(0 <= one < 2**31 for one in seeds)
    assert session_seed(7, 1) != session_seed(8, 1)


def test_a_plan_names_what_goes_on_and_what_begins() -> None:
    plan = plan_of_campaign(state(3, 1))
    assert [one.what for one in plan.reused] == ["1 of 5 have ended; they are left as they are"]
    assert plan.redone == (
        "session 2 goes on at its own checkpoint",
        "session 3 goes on at its own checkpoint",
        "sessions 4 to 5 begin",
    )
    assert plan_of_campaign(state(4, 1, 2, 3, 4)).redone == ("session 5 begins",)


def test_a_campaign_gets_on_with_its_sessions() -> None:
    """A later session, or a later epoch of the same one, is progress; a position is kept as written."""
    first = Position("TRAINING", "c.s001.training", epoch=90, session=1)
    assert Position("DESIGNING", session=2).is_beyond(first)
    assert Position("TRAINING", "c.s001.training", epoch=91, session=1).is_beyond(first)
    assert not first.is_beyond(Position("DESIGNING", session=2))
    assert Position.from_json(first.to_json()) == first
    assert "session" not in Position("TRAINING").to_json()


def test_a_state_is_what_was_written() -> None:
    one = state(3, 1, 2)
    assert CampaignCheckpointState.from_json(one.to_json()) == one
