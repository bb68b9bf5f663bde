"""The journal of calls to a language model: reserved, then what became of them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.calls import Answer, CallStatus, JournalledCall, NewCall
from ktrdr.domain.operations import Status
from ktrdr.persistence.tables import db_now, llm_calls, operations

_columns = llm_calls.c
_SHOWN = tuple(_columns[name] for name in JournalledCall.__dataclass_fields__ if name != "number")


def _look() -> Select[Any]:
    own = _columns.operation_id == bindparam("own")
    same = (own, _columns.purpose == bindparam("purpose"), _columns.sequence == bindparam("number"))
    recorded = (
        _columns.request_sha256 == bindparam("sha256"),
        _columns.status == CallStatus.RECORDED.value,
    )
    answer = select(_columns.response).where(*same, *recorded).order_by(_columns["try"].desc()).limit(1)
    tries = select(func.max(_columns["try"])).where(*same)
    on_their_way = select(func.count()).where(own, _columns.status == CallStatus.RESERVED.value)
    found = (answer.scalar_subquery(), tries.scalar_subquery(), on_their_way.scalar_subquery())
    one = operations.c
    query = select(one.status, one.attempt, one.cancel_requested_at, *found)
    # Shared, so that no other attempt is claimed until this one's reservation is committed.
    return query.where(one.operation_id == bindparam("own")).with_for_update(read=True, of=operations)


# Made once: to put these together takes longer than to execute them.
_LOOK = _look()
_RESERVE = (
    insert(llm_calls)
    .values(status=CallStatus.RESERVED.value, reserved_at=db_now())
    .returning(_columns.call_id)
)


@dataclass(frozen=True)
class Known:
    """An operation as it stands, and what the journal has of one request of it: its recorded answer, if any,
    and how often it was tried. `on_their_way` counts the operation's calls that are RESERVED.
    """

    status: Status
    attempt: int
    cancel_requested_at: float | None
    response: Mapping[str, Any] | None
    tries: int
    on_their_way: int


class Calls:
    """The rows of `llm_calls`, inside one transaction. A call is ended once: losing that race is a result."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def look(self, operation_id: str, purpose: str, sequence: int, sha256: str) -> Known | None:
        """What there is of this request, in one query: each call waits for it."""
        asked = {"own": operation_id, "purpose": purpose, "number": sequence, "sha256": sha256}
        row = (await self._connection.execute(_LOOK, asked)).one_or_none()
        if row is None:
            return None
        status, attempt, cancelled, response, tries, on_their_way = row
        return Known(Status(status), attempt, cancelled, response, tries or 0, on_their_way)

    async def give_up(self, operation_id: str) -> int:
        """The calls that were on their way when an earlier attempt ended are LOST; how many there were."""
        statement = (
            update(llm_calls)
            .where(_columns.operation_id == operation_id, _columns.status == CallStatus.RESERVED.value)
            .values(
                status=CallStatus.LOST.value,
                cost_usd=_columns.worst_usd,
                error_message="the backend ended before an answer was recorded",
                ended_at=db_now(),
            )
        )
        return (await self._connection.execute(statement)).rowcount

    async def reserve(self, call: NewCall) -> int:
        """A row for a call that is about to be sent; its id."""
        values = {**asdict(call), "try": call.number}
        del values["number"]
        return int((await self._connection.execute(_RESERVE, values)).scalar_one())

    async def record(self, call_id: int, answer: Answer) -> bool:
        """Keep the answer; False when another attempt has given this call up."""
        return await self._end(
            call_id,
            status=CallStatus.RECORDED.value,
            cost_usd=answer.cost_usd,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            response=dict(answer.response),
        )

    async def refuse(self, call_id: int, message: str) -> bool:
        """The provider did nothing for it: it costs nothing."""
        return await self._end(call_id, status=CallStatus.REFUSED.value, cost_usd=0.0, error_message=message)

    async def lose(self, call_id: int, message: str) -> bool:
        """It was sent and no answer came: it counts as what it may have cost."""
        return await self._end(
            call_id, status=CallStatus.LOST.value, cost_usd=_columns.worst_usd, error_message=message
        )

    async def list(self, operation_id: str) -> builtins.list[JournalledCall]:
        """An operation's calls, oldest first."""
        query = (
            select(*_SHOWN, _columns["try"].label("number"))
            .where(_columns.operation_id == operation_id)
            .order_by(_columns.call_id)
        )
        rows = (await self._connection.execute(query)).mappings()
        return [JournalledCall(**{**row, "status": CallStatus(row["status"])}) for row in rows]

    async def _end(self, call_id: int, **values: Any) -> bool:
        statement = (
            update(llm_calls)
            .where(_columns.call_id == call_id, _columns.status == CallStatus.RESERVED.value)
            .values(**values, ended_at=db_now())
        )
        return (await self._connection.execute(statement)).rowcount == 1
