"""How a session begins: operation, session row and first checkpoint, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.domain.sessions import AgentSession, TriggerReason
from ktrdr.persistence.unit_of_work import Transaction

KNOWN_TRIALS = 200  # how many earlier trials a designer learns from
KNOWN_HYPOTHESES = 100


@dataclass(frozen=True)
class NewSession:
    """All that a session is asked for. What its designer may look at is fixed here."""

    operation_id: str
    reason: TriggerReason
    seed: int
    dataset: str
    strategy: Mapping[str, Any] | None
    brief: str
    known_trials: Sequence[int]
    known_hypotheses: Mapping[str, str]

    def request(self) -> dict[str, Any]:
        return {
            "trigger_reason": self.reason.value,
            "seed": self.seed,
            "dataset": self.dataset,
            "strategy": self.strategy,
            "brief": self.brief,
            "known_trials": list(self.known_trials),
            "known_hypotheses": dict(self.known_hypotheses),
        }


async def known_hypotheses(tx: Transaction, *, besides: Collection[str] = ()) -> dict[str, str]:
    """The newest hypotheses, oldest first, each with its status, which may change while one is asked.

    `besides` are sessions that a campaign's next one must not learn from: they run beside it.
    """
    found = [one for one in await tx.hypotheses.list(KNOWN_HYPOTHESES) if one.operation_id not in besides]
    return {str(one.hypothesis_id): one.status.value for one in reversed(found)}


async def begin(tx: Transaction, new: NewSession, setup: SessionSetup) -> AgentSession:
    """The session, PENDING; the caller has asked for room and commits."""
    await tx.operations.insert_if_absent(
        NewOperation(
            new.operation_id,
            OperationType.AGENT_RESEARCH,
            new.request(),
            is_backend_local=True,
            owner=setup.instance,
        )
    )
    session = await tx.sessions.create(
        operation_id=new.operation_id,
        trigger_reason=new.reason,
        seed=new.seed,
        dataset=new.dataset,
        brief=new.brief,
    )
    await tx.checkpoints.save(
        new.operation_id,
        0,
        CheckpointType.PHASE_TRANSITION,
        build(session).to_json(),
        None,
        fingerprint_of(setup.catalog, session.dataset, None, setup.settings),
    )
    return session
