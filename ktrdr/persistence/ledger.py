"""The trial ledger and the count of holdout openings."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ktrdr.domain.market import MAX_OPENINGS, Segment, opening_level
from ktrdr.domain.sessions import AgentSession
from ktrdr.persistence.tables import db_now, holdout_openings, trials

_OPENING_LOCK = 0x6B7473


@dataclass(frozen=True)
class RecordedTrial:
    """An evaluated strategy with its validation figures. The verdict has seen the holdout: a designer is
    never told it."""

    trial_id: int
    operation_id: str
    dataset: str
    segment: str  # that of `validation`
    brief: str
    strategy_config: dict[str, Any]
    training: Mapping[str, Any]
    validation: Mapping[str, Any]
    verdict: str
    lesson: str
    created_at: float

    @property
    def sharpe(self) -> float | None:
        return self.validation.get("sharpe")


@dataclass(frozen=True)
class Opening:
    """The how-manieth look at one holdout, and the level it is judged at."""

    opening: int
    level: float


class Ledger:
    """The rows of `trials` and `holdout_openings`, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql

    async def record(self, session: AgentSession, lesson: str = "") -> None:
        """One row a completed session, failures too; a repeat finds its own row."""
        statement = self._dialect.insert(trials).values(
            operation_id=session.operation_id,
            dataset=session.dataset,
            strategy_config=session.strategy_config,
            training_metrics=(session.training_result or {}).get("metrics"),
            validation_metrics=(session.backtest_result or {}).get("metrics"),
            verdict=(session.assessment or {})["verdict"],
            segment=Segment.VALIDATION.value,
            brief=session.brief,
            lesson=lesson,
            created_at=db_now(),
        )
        await self._connection.execute(statement.on_conflict_do_nothing())

    async def recent_ids(self, limit: int) -> builtins.list[int]:
        """The newest trials' ids, oldest first."""
        query = select(trials.c.trial_id).order_by(trials.c.trial_id.desc()).limit(limit)
        return sorted((await self._connection.execute(query)).scalars())

    async def by_ids(self, ids: Sequence[int]) -> builtins.list[RecordedTrial]:
        """Trials in the order in which they are asked for."""
        query = select(trials).where(trials.c.trial_id.in_(ids))
        rows = (await self._connection.execute(query)).mappings()
        found = {row["trial_id"]: _trial(row) for row in rows}
        return [found[one] for one in ids if one in found]

    async def list(self, limit: int) -> builtins.list[RecordedTrial]:
        """Newest first."""
        query = select(trials).order_by(trials.c.trial_id.desc()).limit(limit)
        return [_trial(row) for row in (await self._connection.execute(query)).mappings()]

    async def count(self, dataset: str | None = None) -> int:
        """How many strategies were evaluated, on one data set or on all: what the best is the best of."""
        query = select(func.count()).select_from(trials)
        if dataset is not None:
            query = query.where(trials.c.dataset == dataset)
        return int(await self._connection.scalar(query) or 0)

    async def opened(self, segment_key: str) -> int:
        """How many times a holdout has been opened."""
        query = (
            select(func.count())
            .select_from(holdout_openings)
            .where(holdout_openings.c.segment_key == segment_key)
        )
        return int(await self._connection.scalar(query) or 0)

    async def open(self, segment_key: str, operation_id: str, strategy_sha256: str) -> Opening | None:
        """Count one opening before anything is computed; a session that asks again gets its own.

        None when the holdout has no opening left.
        """
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(text(f"SELECT pg_advisory_xact_lock({_OPENING_LOCK})"))
        own = (
            await self._connection.execute(
                select(holdout_openings.c.opening, holdout_openings.c.level).where(
                    holdout_openings.c.operation_id == operation_id
                )
            )
        ).one_or_none()
        if own is not None:
            return Opening(own[0], own[1])
        opening = await self.opened(segment_key) + 1
        if opening > MAX_OPENINGS:
            return None
        level = opening_level(opening)
        await self._connection.execute(
            holdout_openings.insert().values(
                segment_key=segment_key,
                opening=opening,
                operation_id=operation_id,
                strategy_sha256=strategy_sha256,
                level=level,
                created_at=db_now(),
            )
        )
        return Opening(opening, level)


def _trial(row: RowMapping) -> RecordedTrial:
    return RecordedTrial(
        row["trial_id"],
        row["operation_id"],
        row["dataset"],
        row["segment"],
        row["brief"],
        row["strategy_config"],
        row["training_metrics"] or {},
        row["validation_metrics"] or {},
        row["verdict"],
        row["lesson"],
        row["created_at"],
    )
