"""A campaign's sessions in the order of what they came to on validation bars. Pure: rows in, ranks out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.operations import Operation, Status
from ktrdr.domain.sessions import AgentSession
from ktrdr.persistence.campaigns import Member


@dataclass(frozen=True)
class Standing:
    """One session's place; no rank without a validation Sharpe ratio."""

    rank: int | None
    number: int
    session: AgentSession
    operation: Operation

    @property
    def sharpe(self) -> float | None:
        return _sharpe(self.session)


def ranked(members: Sequence[Member], sessions: Sequence[AgentSession]) -> tuple[Standing, ...]:
    """The best validation Sharpe ratio first, equals by number; then those that have none, by number."""
    known = {one.operation_id: one for one in sessions}
    both = [(one, known[one.operation.operation_id]) for one in members]
    both.sort(key=lambda pair: (-_ordered(_sharpe(pair[1])), pair[0].number))
    return tuple(
        Standing(
            None if _sharpe(session) is None else place,
            member.number,
            session,
            member.operation,
        )
        for place, (member, session) in enumerate(both, start=1)
    )


def result_of(members: Sequence[Member], sessions: Sequence[AgentSession]) -> dict[str, Any]:
    """What a campaign came to. Equal fingerprints: every session found the same, to the last bit."""
    board = ranked(members, sessions)
    best = board[0] if board and board[0].rank is not None else None
    found = {one.number: one.session.result_fingerprint for one in board}
    return {
        "sessions": len(board),
        "completed": sum(one.operation.status is Status.COMPLETED for one in board),
        "failed": sum(one.operation.status is Status.FAILED for one in board),
        "cancelled": sum(one.operation.status is Status.CANCELLED for one in board),
        "best": None if best is None else {"session_id": best.session.session_id, "sharpe": best.sharpe},
        "fingerprint": sha256_of([found[number] for number in sorted(found)]),
    }


def _sharpe(session: AgentSession) -> float | None:
    found = (session.backtest_result or {}).get("metrics", {}).get("sharpe")
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _ordered(sharpe: float | None) -> float:
    return -math.inf if sharpe is None else sharpe
