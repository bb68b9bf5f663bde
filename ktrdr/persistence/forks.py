"""Which sessions were forked from which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.fingerprints import finite
from ktrdr.domain.sessions import Phase
from ktrdr.persistence.tables import db_now, forks

_columns = forks.c


@dataclass(frozen=True)
class RecordedFork:
    """Where a session comes from: whose finished phases it took over, and `changes`, by the name of what
    was changed, each with `from` and `to`."""

    session_id: int
    forked_from: int
    phase: Phase
    changes: Mapping[str, Any]


class Forks:
    """The rows of `session_forks`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(self, fork: RecordedFork) -> None:
        """A session is forked once, when it is made."""
        await self._connection.execute(
            forks.insert().values(
                session_id=fork.session_id,
                forked_from=fork.forked_from,
                phase=fork.phase.value,
                changes=finite(fork.changes),
                created_at=db_now(),
            )
        )

    async def origin(self, session_id: int) -> RecordedFork | None:
        """What a session was forked from; None of one that began by itself."""
        found = await self._fetch(_columns.session_id == session_id)
        return found[0] if found else None

    async def of(self, session_id: int) -> Sequence[RecordedFork]:
        """What was forked from a session, oldest first."""
        return await self._fetch(_columns.forked_from == session_id)

    async def _fetch(self, condition: Any) -> list[RecordedFork]:
        query = select(forks).where(condition).order_by(_columns.session_id)
        rows = (await self._connection.execute(query)).mappings()
        return [
            RecordedFork(row["session_id"], row["forked_from"], Phase(row["phase"]), row["changes"])
            for row in rows
        ]
