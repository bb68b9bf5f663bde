"""Trigger a research session and look at what sessions there are.

Cancel and resume are operations' business: a session is one operation like any other, and the loop
picks it up at its checkpoint once it is PENDING again.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ktrdr.agents.beginnings import KNOWN_TRIALS, NewSession, begin, known_hypotheses
from ktrdr.agents.capacity import require_capacity
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.spending import require_budget
from ktrdr.agents.workbench import training_epoch
from ktrdr.domain.calls import session_scope
from ktrdr.domain.operations import Operation
from ktrdr.domain.sessions import AgentSession, TriggerReason
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.forks import RecordedFork
from ktrdr.persistence.unit_of_work import Database


@dataclass(frozen=True)
class Trigger:
    """What a user asks for; everything but the reason has a default."""

    reason: TriggerReason
    seed: int | None = None
    dataset: str | None = None  # the strategy's own, or the built-in one
    strategy: Mapping[str, Any] | None = None
    brief: str = ""
    budget_usd: float | None = None  # the setting's


@dataclass(frozen=True)
class SessionView:
    """A session with its operation and its children, as the database has them now."""

    session: AgentSession
    operation: Operation
    children: tuple[Operation, ...]
    queue_positions: Mapping[str, int]
    training_checkpoint_epoch: int | None
    origin: RecordedFork | None = None
    forks: tuple[int, ...] = ()  # the sessions that were forked from this one
    spent_usd: float = 0.0


class AgentService:
    """Use cases of research sessions."""

    def __init__(self, database: Database, setup: SessionSetup) -> None:
        self._database = database
        self._setup = setup

    async def trigger(self, trigger: Trigger) -> AgentSession:
        """Create a session: operation, session row, budget and first checkpoint in one transaction.

        Raises SessionActive when the capacity is taken, InvalidInput for what can't be run. The check
        and the insert share the transaction, so of any number of triggers no more get in than there is
        room for. Raises BudgetExhausted when a model is asked and the day's budget is spent.
        """
        given = None if trigger.strategy is None else parse_strategy(trigger.strategy)
        spec = await asyncio.to_thread(self._setup.catalog.dataset_for, given, trigger.dataset)
        strategy = None if given is None else given.to_config()
        operation_id = f"research_{uuid.uuid4().hex[:12]}"
        seed = secrets.randbelow(2**31) if trigger.seed is None else trigger.seed
        async with self._database.transaction() as tx:
            await require_capacity(tx, self._setup.max_active)
            await require_budget(tx, self._setup.limits)
            new = NewSession(
                operation_id=operation_id,
                reason=trigger.reason,
                seed=seed,
                dataset=spec.key,
                strategy=strategy,
                brief=trigger.brief,
                known_trials=await tx.ledger.recent_ids(KNOWN_TRIALS),
                known_hypotheses=await known_hypotheses(tx),
            )
            session = await begin(tx, new, self._setup)
            if trigger.budget_usd is not None:
                await tx.budgets.set(session_scope(operation_id), trigger.budget_usd)
        self._setup.wake()
        return session

    async def latest(self) -> SessionView | None:
        """The session that is active, else the last one; None when there never was one."""
        async with self._database.read() as tx:
            session = await tx.sessions.latest()
        return None if session is None else await self.view(session.session_id)

    async def view(self, session_id: int) -> SessionView:
        """One session. Raises SessionNotFound."""
        async with self._database.read() as tx:
            session = await tx.sessions.get(session_id)
            operation = await tx.operations.get(session.operation_id)
            children = await tx.operations.list(parent=session.operation_id)
            positions = await tx.queue.positions([child.operation_id for child in children])
            epoch = await training_epoch(tx, session)
            origin, forks = await tx.forks.origin(session_id), await tx.forks.of(session_id)
            spent = await tx.budgets.spent(session.operation_id)
        ordered = tuple(sorted(children, key=lambda child: child.created_at))
        forked = tuple(one.session_id for one in forks)
        return SessionView(session, operation, ordered, positions, epoch, origin, forked, spent)

    async def history(self, limit: int) -> list[SessionView]:
        """Sessions, newest first."""
        async with self._database.read() as tx:
            sessions = await tx.sessions.list(limit)
        return [await self.view(session.session_id) for session in sessions]
