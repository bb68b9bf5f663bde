"""What a phase may use: the session's request, its children, and a way to be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ktrdr.agents.checkpoint_builder import build
from ktrdr.agents.language_models import LanguageModels, session_settings
from ktrdr.agents.resume_plan import position
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import RESUMABLE, NewOperation, Operation, Progress, Status
from ktrdr.domain.resumes import Ending, Resume
from ktrdr.domain.sessions import AgentSession, GateThresholds, Phase
from ktrdr.persistence.unit_of_work import Database, Transaction

POLL_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
CHILD_STOP_SECONDS = 30.0

# A session's share of the whole at the start and end of each phase, for one progress bar.
PHASE_SPAN: Mapping[Phase, tuple[float, float]] = {
    Phase.DESIGNING: (0.0, 5.0),
    Phase.TRAINING: (5.0, 85.0),
    Phase.BACKTESTING: (85.0, 92.0),
    Phase.ASSESSING: (92.0, 100.0),
}


class Interruption(StrEnum):
    """Why a phase stopped without being done."""

    SHUTDOWN = "shutdown"  # this backend is stopping; the row stays RUNNING
    CANCEL = "cancel"  # the user asked
    FENCED = "fenced"  # another attempt owns the operation: write nothing


class Interrupted(Exception):
    """Unwinds a phase; the loop decides what is written."""

    def __init__(self, why: Interruption) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Step:
    """What a finished phase hands to the loop: the session in its next phase, and children to record."""

    session: AgentSession
    children: tuple[NewOperation, ...] = ()


@dataclass(frozen=True)
class Workbench:
    """One claimed attempt of one session."""

    database: Database
    operation: Operation
    thresholds: GateThresholds
    catalog: Catalog
    stop: asyncio.Event
    llm: LanguageModels | None = None  # None: designer and assessor think offline

    async def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Wait, or return at once when the backend is stopping."""
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return

    async def check(self) -> None:
        """Raise Interrupted when this attempt should not go on."""
        if self.stop.is_set():
            raise Interrupted(Interruption.SHUTDOWN)
        async with self.database.read() as tx:
            mine = await tx.operations.find(self.operation.operation_id)
        if mine is None or mine.status is not Status.RUNNING or mine.attempt != self.operation.attempt:
            raise Interrupted(Interruption.FENCED)
        if mine.cancel_requested_at is not None:
            raise Interrupted(Interruption.CANCEL)

    async def result_of(self, child_id: str, phase: Phase) -> Mapping[str, Any]:
        """The result of a child that is recorded already, however often this is asked.

        Looks at the child first: RUNNING is attached to, COMPLETED is taken as it is, and one that
        FAILED or was CANCELLED before this attempt began is re-queued once, to go on at its own
        checkpoint. A failure while attached is the session's failure.
        """
        if await self._re_queue_if_stopped(child_id):
            await self.pause(0)
        shown: tuple[float, Progress] = (0.0, Progress())
        loop = asyncio.get_running_loop()
        while True:
            await self.check()
            child = await self._child(child_id)
            if child.status is Status.COMPLETED:
                return child.result or {}
            if child.status in RESUMABLE:
                raise StepFailed(
                    f"{phase}_FAILED",
                    f"{phase.lower()} {child.status.lower()}: {child.error_message}\n"
                    "Resume the session to go on at the child's checkpoint.",
                )
            if loop.time() - shown[0] >= PROGRESS_SECONDS and child.progress != shown[1]:
                shown = (loop.time(), child.progress)
                await self.show(phase, child.progress)
            await self.pause()

    async def stop_child(self, child_id: str) -> None:
        """Ask a child to stop and wait, bounded, for its own checkpoint."""
        async with self.database.transaction() as tx:
            if not await tx.operations.cancel_pending(child_id):
                await tx.operations.request_cancel(child_id)
        deadline = asyncio.get_running_loop().time() + CHILD_STOP_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if (await self._child(child_id)).status not in (Status.PENDING, Status.RUNNING):
                return
            await self.pause()

    async def show(self, phase: Phase, progress: Progress) -> None:
        """Project a child's progress onto the session's own row."""
        low, high = PHASE_SPAN[phase]
        percent = low + (high - low) * progress.percent / 100.0
        async with self.database.transaction() as tx:
            own = replace(progress, percent=percent)
            await tx.operations.advance(self.operation.operation_id, self.operation.attempt, own)

    async def commit(self, step: Step, kind: CheckpointType = CheckpointType.PHASE_TRANSITION) -> None:
        """Session row, children, progress and checkpoint: one transaction, or none of them."""
        session = step.session
        low, _ = PHASE_SPAN[session.phase]
        progress = Progress(low, f"{session.phase} begins")
        async with self.database.transaction() as tx:
            if not await tx.operations.advance(
                session.operation_id, self.operation.attempt, progress, milestone=True
            ):
                raise Interrupted(Interruption.FENCED)
            replaced = await tx.checkpoints.take_out(session.operation_id)
            await tx.sessions.update(session)
            for child in step.children:
                await tx.operations.insert_if_absent(child)
            await self.save_checkpoint(tx, session, kind, after=replaced)

    async def save_checkpoint(
        self, tx: Transaction, session: AgentSession, kind: CheckpointType, *, after: int | None = None
    ) -> None:
        """Write the session's checkpoint inside the caller's transaction."""
        epoch = await training_epoch(tx, session)
        spent = await tx.budgets.spent(session.operation_id)
        await tx.checkpoints.save(
            session.operation_id,
            self.operation.attempt,
            kind,
            build(session, training_checkpoint_epoch=epoch, spent_usd=spent).to_json(),
            None,
            fingerprint_of(self.catalog, session.dataset, session.strategy_config, self.settings),
            after=after,
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """What sessions are made under, for their fingerprint."""
        return session_settings(self.thresholds, None if self.llm is None else self.llm.name)

    async def _child(self, child_id: str) -> Operation:
        async with self.database.read() as tx:
            return await tx.operations.get(child_id)

    async def _re_queue_if_stopped(self, child_id: str) -> bool:
        async with self.database.transaction() as tx:
            child = await tx.operations.locked(child_id)
            if child.status not in RESUMABLE or not await tx.operations.requeue(child_id, None):
                return False
            stored = await tx.checkpoints.get(child_id)
            at, sequence = (
                position(child.operation_type, stored, None),
                0 if stored is None else stored.sequence,
            )
            await tx.resumes.record(Resume(child_id, Ending.of(child), at, sequence))
            return True


async def training_epoch(tx: Transaction, session: AgentSession) -> int | None:
    """The epoch of the training child's own latest checkpoint, or None without one: a training that has
    completed, and so let its session into the next phase, has none."""
    if session.training_operation_id is None or session.phase is not Phase.TRAINING:
        return None
    return await tx.checkpoints.epoch(session.training_operation_id)
