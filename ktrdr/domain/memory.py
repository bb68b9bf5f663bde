"""What sessions leave behind for the next ones. Validation figures only: the holdout teaches nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class HypothesisStatus(StrEnum):
    OPEN = "OPEN"
    SUPPORTED = "SUPPORTED"  # a strategy that tests it has passed the gates on validation
    REFUTED = "REFUTED"  # a strategy that tests it has failed a gate


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that a session's assessor thought worth testing next."""

    hypothesis_id: int
    operation_id: str  # the session it came from
    number: int
    statement: str
    status: HypothesisStatus
    created_at: float


def status_after(gates: Sequence[Mapping[str, Any]]) -> HypothesisStatus:
    """What the gates of a session say of the hypothesis that its strategy tests.

    The verdict is not asked: it comes from the holdout, and the status is shown to designers.
    """
    passed = bool(gates) and all(gate["passed"] for gate in gates)
    return HypothesisStatus.SUPPORTED if passed else HypothesisStatus.REFUTED


def lesson_of(
    gates: Sequence[Mapping[str, Any]], training: Mapping[str, Any], validation: Mapping[str, Any]
) -> str:
    """One sentence by rule, for a session that no model has assessed."""
    failed = [reason for gate in gates for reason in gate["reasons"]]
    accuracy = _figure(training, "balanced_accuracy", ".1%")
    learnt = f"balanced accuracy {accuracy}"
    if validation:
        sharpe, trades = _figure(validation, "sharpe", ".2f"), _figure(validation, "trades", ",")
        learnt += f", validation Sharpe {sharpe} over {trades} trades"
    return f"Failed a gate ({'; '.join(failed)}): {learnt}." if failed else f"Passed the gates: {learnt}."


def _figure(metrics: Mapping[str, Any], name: str, form: str) -> str:
    found = metrics.get(name)
    return format(found, form) if isinstance(found, int | float) else "unknown"
