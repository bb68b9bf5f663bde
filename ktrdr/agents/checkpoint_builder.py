"""Session to checkpoint state and back. Pure: `restore(build(session)) == session`."""

from __future__ import annotations

from dataclasses import fields

from ktrdr.checkpointing.schemas import AgentCheckpointState
from ktrdr.domain.sessions import AgentSession

_SESSION_FIELDS = tuple(field.name for field in fields(AgentSession))


def build(
    session: AgentSession, *, training_checkpoint_epoch: int | None = None, spent_usd: float = 0.0
) -> AgentCheckpointState:
    """All that a resume needs.

    `training_checkpoint_epoch` is the training child's own latest checkpoint epoch, read in the
    transaction that saves this state; it is for the reader, the child's row stays the truth. So is
    `spent_usd`, whose truth is the journal.
    """
    carried = {name: getattr(session, name) for name in _SESSION_FIELDS}
    spend = {"usd": spent_usd}
    return AgentCheckpointState(**carried, training_checkpoint_epoch=training_checkpoint_epoch, spend=spend)


def restore(state: AgentCheckpointState) -> AgentSession:
    """The session as it was when the state was built."""
    return AgentSession(**{name: getattr(state, name) for name in _SESSION_FIELDS})
