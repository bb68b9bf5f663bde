"""One conversation's journal: each call is reserved, sent and recorded, each in its own commit.

It is written by the attempt that owns the operation and by no other, and an answer that was paid for
is not let go of because the database is away for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ktrdr.agents.workbench import Interrupted, Interruption
from ktrdr.domain.calls import Answer, Budget, Limits, NewCall
from ktrdr.domain.errors import DatabaseUnavailable, StepFailed
from ktrdr.domain.operations import Operation, Status
from ktrdr.persistence.calls import Known
from ktrdr.persistence.unit_of_work import Database, Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_SECONDS = 1.0
EXHAUSTED = "BUDGET_EXHAUSTED"


@dataclass(frozen=True)
class Reserved:
    """A call that may be sent now."""

    call_id: int
    worst_usd: float


@dataclass(frozen=True)
class Replayed:
    """The answer that was paid for already."""

    response: Mapping[str, Any]


class Journal:
    """The calls of one attempt for one purpose."""

    def __init__(
        self,
        database: Database,
        operation: Operation,
        purpose: str,
        *,
        model: str,
        limits: Limits,
        stop: asyncio.Event,
    ) -> None:
        self._database = database
        self._operation = operation
        self._purpose = purpose
        self._model = model
        self._limits = limits
        self._stop = stop

    async def reserve(self, sequence: int, sha256: str, worst_usd: float) -> Reserved | Replayed:
        """The recorded answer to this request, or room for it in every budget.

        Raises StepFailed (BUDGET_EXHAUSTED) when it could cost more than is left anywhere, and
        Interrupted when this attempt should not go on.
        """
        one = self._operation
        if self._stop.is_set():
            raise Interrupted(Interruption.SHUTDOWN)
        async with self._database.transaction() as tx:
            await tx.budgets.lock()
            known = await tx.calls.look(one.operation_id, self._purpose, sequence, sha256, self._limits)
            why = self._why_not(known)
            if known is None or why is not None:
                raise Interrupted(why or Interruption.FENCED)
            if known.response is not None:
                return Replayed(known.response)
            if known.on_their_way:
                await tx.calls.give_up(one.operation_id)
                log.warning("%s: an answer was lost with an earlier attempt", one.operation_id)
            new = NewCall(
                one.operation_id,
                one.attempt,
                self._purpose,
                sequence,
                known.tries + 1,
                sha256,
                self._model,
                worst_usd,
            )
            for budget in known.budgets:
                if not budget.takes(worst_usd):
                    refused = budget
                    break
            else:
                return Reserved(await tx.calls.reserve(new), worst_usd)
        raise await self._exhausted(refused, worst_usd)

    async def record(self, call: Reserved, answer: Answer) -> None:
        await self._ended(lambda tx: tx.calls.record(call.call_id, answer))

    async def refuse(self, call: Reserved, message: str) -> None:
        await self._ended(lambda tx: tx.calls.refuse(call.call_id, message))

    async def lose(self, call: Reserved, message: str) -> None:
        await self._ended(lambda tx: tx.calls.lose(call.call_id, message))

    async def check(self) -> None:
        """Raises Interrupted when this attempt should not go on; a database that is away is no reason."""
        if self._stop.is_set():
            raise Interrupted(Interruption.SHUTDOWN)
        try:
            async with self._database.read() as tx:
                await self._own(tx)
        except DatabaseUnavailable as outage:
            log.warning("%s: %s", self._operation.operation_id, outage.message)

    async def pause(self, seconds: float) -> None:
        """Wait, or return at once when the backend is stopping."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _own(self, tx: Transaction) -> None:
        why = self._why_not(await tx.operations.find(self._operation.operation_id))
        if why is not None:
            raise Interrupted(why)

    def _why_not(self, mine: Operation | Known | None) -> Interruption | None:
        """Why this attempt should not go on."""
        if mine is None or mine.status is not Status.RUNNING or mine.attempt != self._operation.attempt:
            return Interruption.FENCED
        return None if mine.cancel_requested_at is None else Interruption.CANCEL

    async def _ended(self, end: Callable[[Transaction], Awaitable[bool]]) -> None:
        """Write how a call ended, as soon as the database takes it.

        Only the next attempt gives up a call of this one. As long as there is none, a call that has ended
        was ended by us, in a commit whose answer was lost.
        """
        while True:
            try:
                async with self._database.transaction() as tx:
                    if not await end(tx):
                        await self._own(tx)
                    return
            except DatabaseUnavailable as outage:
                log.warning("%s: an answer waits for the database: %s", self._operation.operation_id, outage)
                if self._stop.is_set():
                    raise Interrupted(Interruption.SHUTDOWN) from outage
                await self.pause(RETRY_SECONDS)

    async def _exhausted(self, budget: Budget, needed: float) -> StepFailed:
        operation_id = self._operation.operation_id
        async with self._database.read() as tx:
            session = await tx.sessions.by_operation(operation_id)
            campaign_id = await tx.campaigns.of(operation_id)
        session_id = operation_id if session is None else str(session.session_id)
        return StepFailed(EXHAUSTED, exhausted_message(budget, needed, session_id, campaign_id))


def exhausted_message(budget: Budget, needed: float, session_id: str, campaign_id: str | None) -> str:
    """Which budget, how much, and the two commands that go on: a campaign takes up its session itself."""
    whole = max(budget.limit_usd * 2, budget.spent_usd + needed * 2)
    name, command = budget.named(session_id)
    going_on = f"research resume {session_id}" if campaign_id is None else f"operations resume {campaign_id}"
    return (
        f"{name} of ${budget.limit_usd:.2f} does not take the next request: ${budget.spent_usd:.4f} are "
        f"spent and it may cost ${needed:.4f}. Raise it ({command} {whole:.2f}), then: ktrdr {going_on}"
    )
