"""Fork a session: a new one from the finished phases of another, which is only read."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ktrdr.agents.capacity import require_capacity
from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.forking import ForkPlan, Origin, plan_fork
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.spending import require_budget
from ktrdr.checkpointing.artifacts import verify_artifacts
from ktrdr.checkpointing.schemas import CheckpointType, Manifest
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.domain.sessions import AgentSession, Phase
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.forks import RecordedFork
from ktrdr.persistence.unit_of_work import Database


@dataclass(frozen=True)
class Wanted:
    """The session to fork, the phase the new one begins with, and settings by their dotted names."""

    session_id: int
    phase: Phase
    settings: Mapping[str, Any]


class ForksService:
    """The use case of forks."""

    def __init__(self, database: Database, setup: SessionSetup, artifacts: Path) -> None:
        self._database = database
        self._setup = setup
        self._artifacts = artifacts

    async def fork(self, wanted: Wanted) -> tuple[AgentSession, RecordedFork]:
        """The new session and where it comes from. A refusal changes nothing.

        Raises SessionNotFound, PhaseNotFinished, GateNotPassed, SessionActive, BudgetExhausted as a trigger
        does, CheckpointCorrupted for a model that is not what was trained, and InvalidInput. What a phase has
        found never changes once it is written, so that it can be read and verified before the transaction.
        """
        async with self._database.read() as tx:
            session = await tx.sessions.get(wanted.session_id)
            origin = Origin(session, await tx.operations.get(session.operation_id))
        new = f"research_{uuid.uuid4().hex[:12]}"
        plan = plan_fork(origin, wanted.phase, wanted.settings, self._setup.thresholds, new)
        await asyncio.to_thread(self._check, plan)
        made = await self._make(plan, wanted.session_id)
        self._setup.wake()
        return made

    async def _make(self, plan: ForkPlan, origin: int) -> tuple[AgentSession, RecordedFork]:
        """Operation, session, child, lineage and first checkpoint in one transaction."""
        draft = plan.session
        operation = NewOperation(
            draft.operation_id,
            OperationType.AGENT_RESEARCH,
            plan.request,
            is_backend_local=True,
            owner=self._setup.instance,
        )
        async with self._database.transaction() as tx:
            await require_capacity(tx, self._setup.max_active)
            await require_budget(tx, self._setup.limits)
            await tx.operations.insert_if_absent(operation)
            created = await tx.sessions.create(
                operation_id=draft.operation_id,
                trigger_reason=draft.trigger_reason,
                seed=draft.seed,
                dataset=draft.dataset,
                brief=draft.brief,
            )
            session = replace(draft, session_id=created.session_id)
            await tx.sessions.update(session)
            for child in plan.children:
                await tx.operations.insert_if_absent(child)
            fork = RecordedFork(session.session_id, origin, session.phase, plan.changes)
            await tx.forks.record(fork)
            await tx.checkpoints.save(
                session.operation_id,
                0,
                CheckpointType.PHASE_TRANSITION,
                build(session).to_json(),
                None,
                fingerprint_of(
                    self._setup.catalog,
                    session.dataset,
                    session.strategy_config,
                    self._setup.settings,
                ),
            )
        return session, fork

    def _check(self, plan: ForkPlan) -> None:
        """Raises unless the data are there, and a model that is reused is whole and of these data."""
        session = plan.session
        self._check_dataset(session)
        trained = session.training_result
        if trained is None:
            return
        now = fingerprint_of(self._setup.catalog, session.dataset, session.strategy_config, {}).data
        if trained.get("data_sha256") not in (None, now):
            raise InvalidInput(
                f"The data of '{session.training_operation_id}' is not what it was trained on: it was "
                "imported anew. Fork the session from TRAINING.",
                {"trained_on": trained["data_sha256"], "now": now},
            )
        verify_artifacts(self._artifacts, Manifest.from_json(trained["model"]))

    def _check_dataset(self, session: AgentSession) -> None:
        if session.strategy_config is None:
            self._setup.catalog.get(session.dataset)
            return
        own = self._setup.catalog.dataset_of(parse_strategy(session.strategy_config)).key
        if own != session.dataset:
            raise InvalidInput(
                f"strategy.training_data: the strategy would be judged on '{own}'; a fork stays on its "
                f"session's data set, '{session.dataset}'. Start a session with that strategy instead.",
                {"found": own, "allowed": [session.dataset]},
            )
