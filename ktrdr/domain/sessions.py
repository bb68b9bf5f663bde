"""A research session: its phases, its gates, its verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    DESIGNING = "DESIGNING"
    TRAINING = "TRAINING"
    BACKTESTING = "BACKTESTING"
    ASSESSING = "ASSESSING"
    COMPLETED = "COMPLETED"


THREE_CLASSES = 1.0 / 3.0  # balanced accuracy by chance
IDLE = "IDLE"  # what GET /agent/status shows when there is no session

NEXT_PHASES: Mapping[Phase, frozenset[Phase]] = {
    Phase.DESIGNING: frozenset({Phase.TRAINING}),
    Phase.TRAINING: frozenset({Phase.BACKTESTING, Phase.ASSESSING}),  # ASSESSING: its gate failed
    Phase.BACKTESTING: frozenset({Phase.ASSESSING}),
    Phase.ASSESSING: frozenset({Phase.COMPLETED}),
    Phase.COMPLETED: frozenset(),
}


class TriggerReason(StrEnum):
    START_NEW_CYCLE = "start_new_cycle"
    MANUAL = "manual"
    SCHEDULED = "scheduled"


class Verdict(StrEnum):
    ESTABLISHED = "ESTABLISHED"
    NOT_PROVEN = "NOT_PROVEN"
    REJECTED = "REJECTED"
    VOID = "VOID"


@dataclass(frozen=True)
class GateThresholds:
    """What training and the validation backtest must reach for the holdout to be opened."""

    min_balanced_accuracy: float
    min_sharpe: float
    max_drawdown: float
    min_trades: int


@dataclass(frozen=True)
class GateResult:
    """Whether a gate was passed, and every reason why not."""

    gate: str
    passed: bool
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"gate": self.gate, "passed": self.passed, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class _Bound:
    metric: str
    limit: float
    at_least: bool

    def violation(self, metrics: Mapping[str, Any]) -> str | None:
        value = metrics.get(self.metric)
        # A gate that lets a missing number through is no gate.
        if not isinstance(value, int | float) or not math.isfinite(value):
            return f"{self.metric} is missing"
        holds = value >= self.limit if self.at_least else value <= self.limit
        word = "below" if self.at_least else "above"
        return None if holds else f"{self.metric} {value:.4g} is {word} {self.limit:.4g}"


def _gate(name: str, metrics: Mapping[str, Any], bounds: tuple[_Bound, ...]) -> GateResult:
    reasons = tuple(v for v in (bound.violation(metrics) for bound in bounds) if v is not None)
    return GateResult(name, not reasons, reasons)


def training_gate(metrics: Mapping[str, Any], thresholds: GateThresholds) -> GateResult:
    """Did training learn anything about bars it was not fitted on?

    The threshold is for three classes; with more or fewer it lies as far above chance.
    """
    chance = metrics.get("chance", THREE_CLASSES)
    limit = thresholds.min_balanced_accuracy + (float(chance) - THREE_CLASSES)
    bounds = (_Bound("balanced_accuracy", limit, at_least=True),)
    return _gate("training", metrics, bounds)


def backtest_gate(metrics: Mapping[str, Any], thresholds: GateThresholds) -> GateResult:
    """Is the strategy worth one of the holdout's few openings?"""
    bounds = (
        _Bound("trades", thresholds.min_trades, at_least=True),
        _Bound("sharpe", thresholds.min_sharpe, at_least=True),
        _Bound("max_drawdown", thresholds.max_drawdown, at_least=False),
    )
    return _gate("backtest", metrics, bounds)


@dataclass(frozen=True)
class AgentSession:
    """One row of `agent_sessions`: what the session knows so far."""

    session_id: int
    operation_id: str
    trigger_reason: TriggerReason
    seed: int
    dataset: str
    phase: Phase = Phase.DESIGNING
    brief: str = ""
    strategy_config: Mapping[str, Any] | None = None
    research_notes: str | None = None
    tests_hypothesis: int | None = None  # the one of memory that the strategy puts to the test
    training_operation_id: str | None = None
    training_result: Mapping[str, Any] | None = None
    backtest_operation_id: str | None = None
    backtest_result: Mapping[str, Any] | None = None
    holdout_operation_id: str | None = None
    holdout_opening: Mapping[str, Any] | None = None
    gates: tuple[Mapping[str, Any], ...] = ()
    assessment: Mapping[str, Any] | None = None
    result_fingerprint: str | None = None

    @property
    def own_children(self) -> tuple[str, ...]:
        """Ids of the children that this session began; a fork also names one that belongs to another."""
        named = (self.training_operation_id, self.backtest_operation_id, self.holdout_operation_id)
        return tuple(one for one in named if one is not None and one.startswith(f"{self.operation_id}."))
