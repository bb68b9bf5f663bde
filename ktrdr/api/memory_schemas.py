"""Memory over the wire."""

from __future__ import annotations

from typing import Any

from ktrdr.api.schemas import Wire, iso
from ktrdr.api.services.memory_service import ExperimentView, HypothesisView, Memory


class ExperimentData(Wire):
    """A strategy that was evaluated. The figures are of validation; the verdict has seen the holdout."""

    trial_id: int
    session_id: int | None
    operation_id: str
    dataset: str
    segment: str
    brief: str
    strategy_name: str
    strategy_config: dict[str, Any]
    training: dict[str, Any]
    validation: dict[str, Any]
    verdict: str
    lesson: str
    created_at: str | None

    @classmethod
    def of(cls, view: ExperimentView) -> ExperimentData:
        one = view.trial
        return cls(
            trial_id=one.trial_id,
            session_id=view.session_id,
            operation_id=one.operation_id,
            dataset=one.dataset,
            segment=one.segment,
            brief=one.brief,
            strategy_name=str(one.strategy_config.get("name")),
            strategy_config=one.strategy_config,
            training=dict(one.training),
            validation=dict(one.validation),
            verdict=one.verdict,
            lesson=one.lesson,
            created_at=iso(one.created_at),
        )


class HypothesisData(Wire):
    hypothesis_id: int
    session_id: int | None
    operation_id: str
    statement: str
    status: str
    tested_by: list[int]
    created_at: str | None

    @classmethod
    def of(cls, view: HypothesisView) -> HypothesisData:
        one = view.hypothesis
        return cls(
            hypothesis_id=one.hypothesis_id,
            session_id=view.session_id,
            operation_id=one.operation_id,
            statement=one.statement,
            status=one.status.value,
            tested_by=list(view.tested_by),
            created_at=iso(one.created_at),
        )


class MemoryData(Wire):
    """`trials` counts every strategy that was ever evaluated; the lists are the newest of each."""

    trials: int
    experiments: list[ExperimentData]
    hypotheses: list[HypothesisData]

    @classmethod
    def of(cls, found: Memory) -> MemoryData:
        return cls(
            trials=found.trials,
            experiments=[ExperimentData.of(one) for one in found.experiments],
            hypotheses=[HypothesisData.of(one) for one in found.hypotheses],
        )
