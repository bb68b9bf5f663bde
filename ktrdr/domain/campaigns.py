"""A campaign: a series of sessions, each of which is given a seed and what the earlier ones found. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ktrdr.domain.fingerprints import derive_seed

MAX_SESSIONS = 1000
MAX_PARALLEL = 64
_SEEDS = 2**31  # of a session's seed, as a user gives it

# A session that ended with one of these would not be the last: the campaign stops, to be resumed.
STOPPING = frozenset({"BUDGET_EXHAUSTED", "LLM_UNAVAILABLE"})


@dataclass(frozen=True)
class Campaign:
    """How many sessions there are to be, and how many at once."""

    operation_id: str
    sessions: int
    parallel: int
    created_at: float


def session_operation_id(campaign_id: str, number: int) -> str:
    """The id of a campaign's session, counted from 1: the same each time, so that a replay finds it."""
    return f"{campaign_id}.s{number:03}"


def session_seed(seed: int, number: int) -> int:
    """The seed of a campaign's session."""
    return derive_seed(seed, "session", number) % _SEEDS


def settled(number: int, parallel: int) -> int:
    """The last session that has to have ended before this one begins, and the last that it learns from.

    Which of those that run beside it ended first depends on the machine, and is to change nothing.
    """
    return max(0, number - parallel)
