"""Calls to a language model as the journal has them, and budgets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

DAY = "day"


class CallStatus(StrEnum):
    """What became of a call. Its cost is certain for RECORDED and REFUSED, its worst case for the others."""

    RESERVED = "RESERVED"  # may be on its way, or was when its backend died
    RECORDED = "RECORDED"  # answered; the answer is kept
    REFUSED = "REFUSED"  # the provider did nothing for it
    LOST = "LOST"  # sent, and no answer was kept: it may have been paid for


@dataclass(frozen=True)
class NewCall:
    """One request of a conversation, priced at the most it can cost."""

    operation_id: str
    attempt: int
    purpose: str
    sequence: int
    number: int  # how-manieth try of this request
    request_sha256: str
    model: str
    worst_usd: float


@dataclass(frozen=True)
class Answer:
    """What came back and what it cost."""

    response: Mapping[str, Any]
    cost_usd: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class JournalledCall:
    """A row of the journal, without the answer's text."""

    call_id: int
    operation_id: str
    attempt: int
    purpose: str
    sequence: int
    number: int  # how-manieth try of this request
    request_sha256: str
    model: str
    status: CallStatus
    worst_usd: float
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    error_message: str | None

    @property
    def counted_usd(self) -> float:
        """What it counts as in a budget."""
        return self.worst_usd if self.cost_usd is None else self.cost_usd


@dataclass(frozen=True)
class Limits:
    """What may be spent where the database says nothing else."""

    session_usd: float = 1.0
    day_usd: float = 10.0


@dataclass(frozen=True)
class Budget:
    """One budget as it stands: `day`, `session:<operation id>` or `campaign:<operation id>`."""

    scope: str
    limit_usd: float
    spent_usd: float

    @property
    def left_usd(self) -> float:
        return max(0.0, self.limit_usd - self.spent_usd)

    @property
    def is_spent(self) -> bool:
        return self.spent_usd >= self.limit_usd

    @property
    def owner(self) -> str:
        """The operation id of the session or the campaign that it is of."""
        return self.scope.partition(":")[2]

    def takes(self, usd: float) -> bool:
        """Whether this much more is within it."""
        return self.spent_usd + usd <= self.limit_usd

    def named(self, session_id: str) -> tuple[str, str]:
        """Its name, and the command that sets it up to the amount; a session is known by its number."""
        if self.scope == DAY:
            return "The day's budget", "ktrdr research budget --day"
        if self.scope == session_scope(self.owner):
            return (
                f"The budget of session {session_id}",
                f"ktrdr research budget --session {session_id} --set",
            )
        return "The campaign's budget", f"ktrdr research budget --campaign {self.owner} --set"


def session_scope(operation_id: str) -> str:
    return f"session:{operation_id}"


def campaign_scope(operation_id: str) -> str:
    return f"campaign:{operation_id}"
