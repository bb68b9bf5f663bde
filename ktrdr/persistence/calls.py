"""The journal of calls to a language model: reserved, then what became of them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.calls import Answer, Budget, CallStatus, JournalledCall, Limits, NewCall
from ktrdr.domain.operations import Status
from ktrdr.persistence.budgets import STANDING, standing
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
    found = (
        answer.scalar_subquery().label("answer"),
        tries.scalar_subquery().label("tries"),
        on_their_way.scalar_subquery().label("on_their_way"),
    )
    one = operations.c
    query = select(one.status, one.attempt, one.cancel_requested_at, *found, *STANDING)
    # Shared, so that no other attempt is claimed until this one's reservation is committed.
    return query.where(one.operation_id == bindparam("own")).with_for_update(read=True, of=operations)


# Made once: to put these together takes longer than to execute them.
_LOOK = _look()
_RESERVE = (
    insert(llm_calls)
    .values(status=CallStatus.RESERVED.value, reserved_at=db_now())
    .returning(_columns.call_id)
)
_END = (
    update(llm_calls)
    .where(_columns.call_id == bindparam("ended"), _columns.status == CallStatus.RESERVED.value)
    .values(
        status=bindparam("became"),
        cost_usd=func.coalesce(bindparam("cost", type_=_columns.cost_usd.type), _columns.worst_usd),
        input_tokens=bindparam("asked", type_=_columns.input_tokens.type),
        output_tokens=bindparam("answered", type_=_columns.output_tokens.type),
        response=bindparam("answer", type_=_columns.response.type),
        error_message=bindparam("error", type_=_columns.error_message.type),
        ended_at=db_now(),
    )
)


@dataclass(frozen=True)
class Known:
    """An operation as it stands, and what the journal has of one request of it: its recorded answer, if any,
    and how often it was tried. `on_their_way` counts the operation's calls that are RESERVED; `budgets` are
    those that a call of it counts in.
    """

    status: Status
    attempt: int
    cancel_requested_at: float | None
    response: Mapping[str, Any] | None
    tries: int
    on_their_way: int
    budgets: tuple[Budget, ...]


class Calls:
    """The rows of `llm_calls`, inside one transaction. A call is ended once: losing that race is a result."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def look(
        self, operation_id: str, purpose: str, sequence: int, sha256: str, limits: Limits
    ) -> Known | None:
        """What there is of this request, in one query: each call waits for it.

        The budgets are to be locked before: as they are seen here, the next reservation finds them.
        """
        asked = {"own": operation_id, "purpose": purpose, "number": sequence, "sha256": sha256}
        row = (await self._connection.execute(_LOOK, asked)).one_or_none()
        if row is None:
            return None
        return Known(
            Status(row.status),
            row.attempt,
            row.cancel_requested_at,
            row.answer,
            row.tries or 0,
            row.on_their_way,
            standing(row, operation_id, limits),
        )

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
        return await self._end(call_id, CallStatus.RECORDED, cost_usd=answer.cost_usd, answer=answer)

    async def refuse(self, call_id: int, message: str) -> bool:
        """The provider did nothing for it: it costs nothing."""
        return await self._end(call_id, CallStatus.REFUSED, cost_usd=0.0, message=message)

    async def lose(self, call_id: int, message: str) -> bool:
        """It was sent and no answer came: it counts as what it may have cost."""
        return await self._end(call_id, CallStatus.LOST, cost_usd=None, message=message)

    async def list(self, operation_id: str) -> builtins.list[JournalledCall]:
        """An operation's calls, oldest first."""
        query = (
            select(*_SHOWN, _columns["try"].label("number"))
            .where(_columns.operation_id == operation_id)
            .order_by(_columns.call_id)
        )
        rows = (await self._connection.execute(query)).mappings()
        return [JournalledCall(**{**row, "status": CallStatus(row["status"])}) for row in rows]

    async def _end(
        self,
        call_id: int,
        became: CallStatus,
        *,
        cost_usd: float | None,
        answer: Answer | None = None,
        message: str | None = None,
    ) -> bool:
        values = {
            "ended": call_id,
            "became": became.value,
            "cost": cost_usd,
            "asked": None if answer is None else answer.input_tokens,
            "answered": None if answer is None else answer.output_tokens,
            "answer": None if answer is None else dict(answer.response),
            "error": message,
        }
        return (await self._connection.execute(_END, values)).rowcount == 1
