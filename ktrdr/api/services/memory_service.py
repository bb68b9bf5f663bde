"""What sessions have left behind: experiments with their lessons, and hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ktrdr.domain.memory import Hypothesis
from ktrdr.persistence.ledger import RecordedTrial
from ktrdr.persistence.unit_of_work import Database


@dataclass(frozen=True)
class ExperimentView:
    """A trial, and the session that it is of."""

    trial: RecordedTrial
    session_id: int | None


@dataclass(frozen=True)
class HypothesisView:
    """A hypothesis, the session it came from, and those whose strategies test it."""

    hypothesis: Hypothesis
    session_id: int | None
    tested_by: Sequence[int]


@dataclass(frozen=True)
class Memory:
    """The newest first; `trials` counts all there are."""

    trials: int
    experiments: Sequence[ExperimentView]
    hypotheses: Sequence[HypothesisView]


class MemoryService:
    """Use cases of memory; it is only read here, and written when a session completes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, limit: int) -> Memory:
        """The newest `limit` experiments and hypotheses."""
        async with self._database.read() as tx:
            count = await tx.ledger.count()
            trials, ideas = await tx.ledger.list(limit), await tx.hypotheses.list(limit)
            left_by = {one.operation_id for one in trials} | {one.operation_id for one in ideas}
            ids = await tx.sessions.ids_of(left_by)
            tests = await tx.sessions.testing([one.hypothesis_id for one in ideas])
        return Memory(
            count,
            [ExperimentView(one, ids.get(one.operation_id)) for one in trials],
            [
                HypothesisView(one, ids.get(one.operation_id), tests.get(one.hypothesis_id, []))
                for one in ideas
            ],
        )
