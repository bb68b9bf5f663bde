"""Where an operation stands by the database: its checkpoint, its child's, and its resumes so far."""

from __future__ import annotations

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
    child = await awaited_child(tx, operation, stored)
    return position(operation.operation_type, stored, child)


async def stuck_of(tx: Transaction, operation: Operation, at: Position) -> Stuck | None:
    """Whether resuming it has got nowhere lately."""
    resumes = (await tx.resumes.of([operation.operation_id])).get(operation.operation_id, [])
    return stuck(operation, resumes, at)
