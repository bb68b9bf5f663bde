"""Research sessions in the database."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import fields
from typing import Any

from sqlalchemy import RowMapping, bindparam, case, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.errors import SessionNotFound
from ktrdr.domain.fingerprints import finite
from ktrdr.domain.operations import Status
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason
from ktrdr.persistence.tables import db_now, operations, sessions

_columns = sessions.c
_WRITTEN = tuple(field.name for field in fields(AgentSession) if field.name != "session_id")
_UPDATE = (
    update(sessions)
    .where(_columns.session_id == bindparam("written_id"))
    .values(**{name: bindparam(name) for name in _WRITTEN}, updated_at=db_now())
)


class Sessions:
    """The rows of `agent_sessions`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, *, operation_id: str, trigger_reason: TriggerReason, seed: int, dataset: str, brief: str
    ) -> AgentSession:
        """A session in DESIGNING."""
        statement = insert(sessions).values(
            operation_id=operation_id,
            trigger_reason=trigger_reason.value,
            seed=seed,
            dataset=dataset,
            phase=Phase.DESIGNING.value,
            brief=brief,
            gates=[],
            created_at=db_now(),
            updated_at=db_now(),
        )
        row = (await self._connection.execute(statement.returning(sessions))).mappings().one()
        return as_session(row)

    async def update(self, session: AgentSession) -> None:
        """Write what the session knows now. The caller's transaction holds the fence."""
        values = {name: finite(getattr(session, name)) for name in _WRITTEN}
        await self._connection.execute(_UPDATE, {**values, "written_id": session.session_id})

    async def get(self, session_id: int) -> AgentSession:
        """Raises SessionNotFound."""
        found = await self._one(select(sessions).where(_columns.session_id == session_id))
        if found is None:
            raise SessionNotFound(session_id)
        return found

    async def by_operation(self, operation_id: str) -> AgentSession | None:
        return await self._one(select(sessions).where(_columns.operation_id == operation_id))

    async def latest(self) -> AgentSession | None:
        """The active session, else the one that was written last, by the database's clock."""
        active = exists().where(
            operations.c.operation_id == _columns.operation_id,
            operations.c.status.in_([Status.PENDING.value, Status.RUNNING.value]),
        )
        order = (case((active, 0), else_=1), _columns.updated_at.desc(), _columns.session_id.desc())
        return await self._one(select(sessions).order_by(*order).limit(1))

    async def list(self, limit: int) -> builtins.list[AgentSession]:
        """Newest first."""
        query = select(sessions).order_by(_columns.session_id.desc()).limit(limit)
        return [as_session(row) for row in (await self._connection.execute(query)).mappings()]

    async def ids_of(self, operation_ids: Collection[str]) -> dict[str, int]:
        """The session of each operation that is one."""
        query = select(_columns.operation_id, _columns.session_id)
        rows = await self._connection.execute(query.where(_columns.operation_id.in_(operation_ids)))
        return {row[0]: row[1] for row in rows}

    async def testing(self, hypotheses: Collection[int]) -> dict[int, builtins.list[int]]:
        """The sessions whose strategies test each hypothesis, the first of them first."""
        query = select(_columns.tests_hypothesis, _columns.session_id).order_by(_columns.session_id)
        rows = await self._connection.execute(query.where(_columns.tests_hypothesis.in_(hypotheses)))
        found: dict[int, builtins.list[int]] = {}
        for hypothesis_id, session_id in rows:
            found.setdefault(hypothesis_id, []).append(session_id)
        return found

    async def _one(self, query: Any) -> AgentSession | None:
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else as_session(row)


def as_session(row: RowMapping) -> AgentSession:
    values = dict(row)
    values.pop("created_at")
    values.pop("updated_at")
    values["trigger_reason"] = TriggerReason(values["trigger_reason"])
    values["phase"] = Phase(values["phase"])
    values["gates"] = tuple(values["gates"])
    return AgentSession(**values)
