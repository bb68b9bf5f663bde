"""How many sessions may be active at once: one check for a trigger and for a resume."""

from __future__ import annotations

from ktrdr.domain.errors import SessionActive
from ktrdr.persistence.unit_of_work import Transaction


async def require_capacity(tx: Transaction, limit: int, *, resuming: str = "") -> None:
    """Raises SessionActive, naming who holds the capacity, unless one more session fits.

    Stands in the transaction that makes the session active, so of any number of callers no more get
    in than there is room for. The session that is being resumed does not count against itself.
    """
    await tx.operations.lock_capacity()
    active = await tx.operations.active_sessions(exclude=resuming)
    if len(active) < limit:
        return
    sessions = [await tx.sessions.by_operation(one.operation_id) for one in active]
    raise SessionActive(limit, [(one.operation_id, one.session_id) for one in sessions if one])
