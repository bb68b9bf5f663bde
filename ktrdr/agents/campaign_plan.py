"""What a campaign does next, and what a resume of it would do. Pure: a state and rows in, answers out."""

from __future__ import annotations

from collections.abc import Sequence

from ktrdr.agents.resume_plan import Plan, Reused
from ktrdr.checkpointing.schemas import CampaignCheckpointState
from ktrdr.domain.campaigns import STOPPING, settled
from ktrdr.domain.operations import Operation, Progress, Status
from ktrdr.persistence.campaigns import Member
from ktrdr.persistence.orphans import RESTARTED

_INTERRUPTIONS = frozenset({RESTARTED, *STOPPING})


def may_begin(state: CampaignCheckpointState) -> bool:
    """Whether the next session has all it learns from: capacity is another question."""
    last = settled(state.begun + 1, state.parallel)
    return state.begun < state.sessions and sum(one <= last for one in state.ended) == last


def interrupted(members: Sequence[Member]) -> Member | None:
    """Of those whose end is not noted, the first that a resume takes up."""
    return next((one for one in members if is_interrupted(one.operation)), None)


def is_interrupted(session: Operation) -> bool:
    """Whether it stopped with its backend, campaign or budget: a resume of the campaign takes it up."""
    failed = session.status is Status.FAILED and session.error_code in _INTERRUPTIONS
    return failed or session.status is Status.CANCELLED


def progress_of(
    state: CampaignCheckpointState, members: Sequence[Member], waiting: str | None = None
) -> Progress:
    """How far the sessions (`members`) are whose end is not noted; those that have ended are done."""
    done = 100.0 * len(state.ended) + sum(one.operation.progress.percent for one in members)
    parts = [f"session {one.number} of {state.sessions}: {_said(one)}" for one in members]
    message = waiting or "; ".join(parts) or f"{len(state.ended)} of {state.sessions} sessions have ended"
    return Progress(
        done / state.sessions,
        message,
        {"sessions": state.sessions, "begun": state.begun, "ended": len(state.ended)},
    )


def plan_of_campaign(state: CampaignCheckpointState) -> Plan:
    """What a resume of a verified checkpoint would do."""
    open_ones = [one for one in range(1, state.begun + 1) if one not in state.ended]
    ended = f"{len(state.ended)} of {state.sessions} have ended; they are left as they are"
    redone = [f"session {one} goes on at its own checkpoint" for one in open_ones]
    if state.begun < state.sessions:
        first, last = state.begun + 1, state.sessions
        redone.append(f"session {first} begins" if first == last else f"sessions {first} to {last} begin")
    return Plan((Reused("sessions", ended),), None, tuple(redone))


def _said(one: Member) -> str:
    return one.operation.progress.message or one.operation.status.value
