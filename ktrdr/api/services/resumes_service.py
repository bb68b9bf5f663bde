"""Going on from a checkpoint: everything is verified first, then the operation is only re-queued."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktrdr.agents.campaign_plan import plan_of_campaign
from ktrdr.agents.capacity import require_capacity
from ktrdr.agents.positions import awaited_child, position_of, stuck_of
from ktrdr.agents.resume_plan import Plan, Worker, plan_of, position
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.spending import require_budget
from ktrdr.checkpointing.schemas import (
    AgentCheckpointState,
    BacktestCheckpointState,
    CampaignCheckpointState,
    StoredCheckpoint,
    TrainingCheckpointState,
)
from ktrdr.checkpointing.verification import verified
from ktrdr.data.provenance import fingerprint_of, settings_of
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    CheckpointIncompatible,
    CheckpointNotFound,
    DatabaseUnavailable,
    KtrdrError,
    OperationNotResumable,
    ResumeConflict,
    SessionActive,
)
from ktrdr.domain.fingerprints import Fingerprint, described
from ktrdr.domain.operations import RESUMABLE, Operation, OperationType, Status
from ktrdr.domain.resumes import Ending, Position, Resume, Stuck
from ktrdr.persistence.unit_of_work import Database, Transaction

log = logging.getLogger(__name__)

# A start that is killed before it has resumed anything leaves that to the next one, within this time.
RECENT_SECONDS = 600.0

_STATES: Mapping[OperationType, Any] = {
    OperationType.AGENT_RESEARCH: AgentCheckpointState,
    OperationType.TRAINING: TrainingCheckpointState,
    OperationType.BACKTESTING: BacktestCheckpointState,
    OperationType.CAMPAIGN: CampaignCheckpointState,
}
_THINKING = (OperationType.AGENT_RESEARCH, OperationType.CAMPAIGN)  # they are made under gates and a model


@dataclass(frozen=True)
class Resumed:
    """What a resume went on from."""

    operation: Operation
    checkpoint: StoredCheckpoint
    difference: Mapping[str, Any] | None
    stuck: Stuck | None


@dataclass(frozen=True)
class Preview:
    """What a resume would do, and the reason why it can't be done, if there is one."""

    operation: Operation
    checkpoint: StoredCheckpoint | None
    plan: Plan | None
    difference: Mapping[str, Any] | None
    stuck: Stuck | None
    obstacle: KtrdrError | None
    now: float


@dataclass(frozen=True)
class _Ready:
    """A verified checkpoint (and as it was found) and what it would be resumed to."""

    found: StoredCheckpoint
    checkpoint: StoredCheckpoint
    child: Worker | None
    position: Position
    difference: Mapping[str, Any] | None
    stuck: Stuck | None


class ResumesService:
    """Use cases of a resume; every answer is read from the database."""

    def __init__(self, database: Database, setup: SessionSetup, artifacts: Path) -> None:
        self._database = database
        self._setup = setup
        self._artifacts = artifacts

    async def preview(self, operation_id: str, *, force: bool) -> Preview:
        """What a resume would do, without doing it."""
        ready: _Ready | None = None
        obstacle: KtrdrError | None = None
        async with self._database.read() as tx:
            operation = await tx.operations.get(operation_id)
            stored = await tx.checkpoints.get(operation_id)
            now = await tx.now()
            try:
                ready = await self._ready(tx, operation, force=force)
                await self._admit(tx, operation, ready, force=force)
            except KtrdrError as found:
                obstacle = found
        if ready is None:
            return Preview(operation, stored, None, None, None, obstacle, now)
        if operation.operation_type is OperationType.CAMPAIGN:
            plan = plan_of_campaign(CampaignCheckpointState.from_json(ready.checkpoint.state))
        else:
            plan = plan_of(operation, ready.checkpoint, ready.child)
        return Preview(operation, ready.checkpoint, plan, ready.difference, ready.stuck, obstacle, now)

    async def resume(self, operation_id: str, *, force: bool, automatic: bool = False) -> Resumed:
        """Verify the checkpoint, then re-queue and note from where. A refusal changes nothing.

        Of any number of concurrent callers one wins; the others get a conflict. The row is locked from
        the first look at it: a clean-up at the same moment comes before this, or finds it PENDING.
        """
        async with self._database.read() as tx:  # files are read before anybody is held up by a lock
            seen = await self._ready(tx, await tx.operations.get(operation_id), force=force)
        async with self._database.transaction() as tx:
            operation = await tx.operations.locked(operation_id)
            ready = await self._ready(tx, operation, force=force, seen=seen)
            if automatic and ready.stuck is not None:
                raise OperationNotResumable(ready.stuck.message, {"resumes": ready.stuck.resumes})
            await self._admit(tx, operation, ready, force=force)
            if not await tx.operations.requeue(operation_id, self._owner(operation)):
                raise ResumeConflict(
                    f"Operation '{operation_id}' was resumed by somebody else at the same moment.",
                    {"operation_id": operation_id},
                )
            await tx.resumes.record(
                Resume(
                    operation_id,
                    Ending.of(operation),
                    ready.position,
                    ready.checkpoint.sequence,
                    automatic=automatic,
                    forced=force,
                    difference=ready.difference,
                )
            )
        self._setup.wake()
        return Resumed(operation, ready.checkpoint, ready.difference, ready.stuck)

    async def resume_interrupted(self) -> builtins.list[str]:
        """Resume what a restart has just failed, oldest first; sessions while there is room.

        What needs a person is left alone, and the log says why: stuck, damaged, or made from other inputs.
        """
        async with self._database.read() as tx:
            waiting = await tx.orphans.restarted(self._setup.instance, RECENT_SECONDS)
        resumed: builtins.list[str] = []
        for number, operation_id in enumerate(waiting):
            try:
                found = await self.resume(operation_id, force=False, automatic=True)
            except SessionActive as full:
                log.warning(
                    "%d interrupted sessions are not resumed: %s", len(waiting) - number, full.message
                )
                break
            except DatabaseUnavailable:
                raise
            except KtrdrError as obstacle:
                log.warning("%s is not resumed (%s): %s", operation_id, obstacle.code, obstacle.message)
                continue
            log.info("%s is resumed from checkpoint %d", operation_id, found.checkpoint.sequence)
            resumed.append(operation_id)
        return resumed

    async def history(self, operation_id: str) -> builtins.list[Resume]:
        """Every resume of an operation, oldest first. Raises OperationNotFound."""
        async with self._database.read() as tx:
            await tx.operations.get(operation_id)
            return (await tx.resumes.of([operation_id])).get(operation_id, [])

    def _owner(self, operation: Operation) -> str | None:
        return self._setup.instance if operation.is_backend_local else None

    async def _ready(
        self, tx: Transaction, operation: Operation, *, force: bool, seen: _Ready | None = None
    ) -> _Ready:
        """The checkpoint, verified, with that of the child which would be re-queued; `seen` needs no more."""
        if operation.status not in RESUMABLE:
            hint = (
                "it goes on by itself" if operation.status is not Status.COMPLETED else "its result is there"
            )
            raise OperationNotResumable(
                f"Operation '{operation.operation_id}' is {operation.status}: {hint}. "
                "Only FAILED and CANCELLED operations can be resumed.",
                {"status": operation.status.value},
            )
        found = await tx.checkpoints.get(operation.operation_id)
        if found is None:
            raise CheckpointNotFound(operation.operation_id)
        child = await awaited_child(tx, operation, found)
        if seen is not None and (seen.found, seen.child) == (found, child):
            stored, difference = seen.checkpoint, seen.difference
        else:
            stored = await asyncio.to_thread(self._verified, operation, found)
            if child is not None and child.checkpoint is not None and child.operation.status in RESUMABLE:
                await asyncio.to_thread(self._verified_child, child.operation, child.checkpoint)
            difference = await asyncio.to_thread(self._difference, operation, stored, force=force)
        campaign = operation.operation_type is OperationType.CAMPAIGN
        at = (
            await position_of(tx, operation, stored)
            if campaign
            else position(operation.operation_type, stored, child)
        )
        return _Ready(found, stored, child, at, difference or None, await stuck_of(tx, operation, at))

    async def _admit(self, tx: Transaction, operation: Operation, ready: _Ready, *, force: bool) -> None:
        """Raises what stands in the way of a checkpoint that is whole: other inputs, no room, no money."""
        if ready.difference and not force:
            raise CheckpointIncompatible(
                f"The checkpoint of '{operation.operation_id}' was made from other inputs:\n  "
                + "\n  ".join(described(ready.difference))
                + "\nRestore them, or resume with force=true to go on regardless.",
                {"difference": dict(ready.difference)},
            )
        if operation.operation_type is OperationType.AGENT_RESEARCH:
            await require_capacity(tx, self._setup.max_active, resuming=operation.operation_id)
        if operation.operation_type in _THINKING:
            state = _STATES[operation.operation_type].from_json(ready.checkpoint.state)
            await require_budget(tx, self._setup.limits, resuming=state)

    def _verified(self, operation: Operation, stored: StoredCheckpoint) -> StoredCheckpoint:
        found = verified(stored, self._artifacts)
        _STATES[operation.operation_type].from_json(found.state)
        return found

    def _verified_child(self, child: Operation, stored: StoredCheckpoint) -> None:
        """Raises before the session is touched what its child would fail of."""
        try:
            self._verified(child, stored)
        except (CheckpointCorrupted, CheckpointIncompatible) as fault:
            raise type(fault)(
                f"{fault.message} Or begin this phase anew: 'ktrdr checkpoints delete {child.operation_id}', "
                "then resume the session.",
                {**fault.details, "operation_id": child.operation_id},
            ) from fault

    def _difference(
        self, operation: Operation, stored: StoredCheckpoint, *, force: bool
    ) -> Mapping[str, Any]:
        """What the checkpoint was made from and is not so any more."""
        request, kind = operation.request, operation.operation_type
        strategy: Mapping[str, Any] | None
        if kind is OperationType.AGENT_RESEARCH:
            strategy = stored.state.get("strategy_config")
        else:
            strategy = request["strategy" if kind is OperationType.CAMPAIGN else "strategy_config"]
        settings = self._setup.settings if kind in _THINKING else settings_of(request)
        then = Fingerprint.from_json(stored.fingerprint)
        try:
            now = fingerprint_of(self._setup.catalog, str(request["dataset"]), strategy, settings)
        except KtrdrError as unknown:  # its data are gone or damaged
            if not force:
                raise
            return {"data": {"checkpoint": then.data, "now": unknown.message}}
        return then.difference(now)
