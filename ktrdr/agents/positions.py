"""Where an operation stands by the database: its checkpoint, its child's, and its resumes so far."""

from __future__ import annotations

from dataclasses import replace

from ktrdr.agents.resume_plan import Worker, awaited, position
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.domain.operations import Operation, OperationType
from ktrdr.domain.resumes import Position, Stuck, stuck
from ktrdr.persistence.unit_of_work import Transaction


async def awaited_child(
    tx: Transaction, operation: Operation, stored: StoredCheckpoint | None
) -> Worker | None:
    """The child that a session's phase waits for, as it is now."""
    if operation.operation_type is not OperationType.AGENT_RESEARCH or stored is None:
        return None
    child_id = awaited(stored.state)
    child = None if child_id is None else await tx.operations.find(child_id)
    return None if child is None else Worker(child, await tx.checkpoints.get(child.operation_id))


async def position_of(tx: Transaction, operation: Operation, stored: StoredCheckpoint | None) -> Position:
    """How far the operation's checkpoint is now."""
    if operation.operation_type is OperationType.CAMPAIGN:
        return await _of_campaign(tx, operation, stored)
    child = await awaited_child(tx, operation, stored)
    return position(operation.operation_type, stored, child)


async def _of_campaign(tx: Transaction, operation: Operation, stored: StoredCheckpoint | None) -> Position:
    """Of its first session whose end is not noted; without one, of the next that is to begin."""
    noted = None if stored is None else stored.state.get("ended")
    ended = noted if isinstance(noted, list) else []
    members = await tx.campaigns.members(operation.operation_id)
    for one in members:
        if one.number not in ended:
            own = await tx.checkpoints.get(one.operation.operation_id)
            return replace(await position_of(tx, one.operation, own), session=one.number)
    return Position(session=len(members) + 1)


async def stuck_of(tx: Transaction, operation: Operation, at: Position) -> Stuck | None:
    """Whether resuming it has got nowhere lately."""
    resumes = (await tx.resumes.of([operation.operation_id])).get(operation.operation_id, [])
    return stuck(operation, resumes, at)
