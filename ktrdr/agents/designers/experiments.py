"""Which earlier experiments a designer is shown, and what of them. Pure; validation figures only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ktrdr.domain.sessions import Verdict
from ktrdr.domain.texts import first_words
from ktrdr.persistence.ledger import RecordedTrial

MAX_SHOWN = 12
MAX_BRIEF, MAX_LESSON = 200, 500
VALIDATION = (
    "sharpe",
    "total_return",
    "buy_and_hold_return",
    "max_drawdown",
    "trades",
    "win_rate",
    "exposure",
)
TRAINING = ("balanced_accuracy", "directional_accuracy", "chance")
FIGURES = 4


def chosen(
    trials: Sequence[RecordedTrial], dataset: str, words: str, limit: int = MAX_SHOWN
) -> dict[str, list[dict[str, Any]]]:
    """The best, the worst and the most relevant of the experiments, each once.

    Relevant are those on the same data first, then those that share the most words, then the newest.
    """
    limit = max(3, min(limit, MAX_SHOWN))
    measured = sorted((one for one in trials if one.sharpe is not None), key=_worth)
    extremes = max(1, limit // 4)
    best = measured[-extremes:][::-1]
    worst = [one for one in measured[:extremes] if one not in best]
    wanted = _words(words)
    rest = [one for one in trials if one not in best and one not in worst]
    rest.sort(key=lambda one: (one.dataset == dataset, len(wanted & _about(one)), one.trial_id), reverse=True)
    shown = {"best": best, "worst": worst, "relevant": rest[: limit - len(best) - len(worst)]}
    return {name: [brief_of(one) for one in those] for name, those in shown.items()}


def brief_of(trial: RecordedTrial) -> dict[str, Any]:
    """One experiment in a few lines.

    Whether it passed the gates is told, and not the verdict: that is from the holdout, and a designer who
    knew it would fit its next strategies to it.
    """
    strategy = trial.strategy_config
    return {
        "id": trial.trial_id,
        "dataset": trial.dataset,
        "segment": trial.segment,
        "brief": first_words(trial.brief, MAX_BRIEF),
        "name": strategy.get("name"),
        "indicators": _indicators(strategy),
        "labels": (strategy.get("training") or {}).get("labels"),
        "confidence_threshold": (strategy.get("decisions") or {}).get("confidence_threshold"),
        "validation": figures(trial.validation, VALIDATION),
        "training": figures(trial.training, TRAINING),
        "outcome": outcome_of(trial),
        "lesson": first_words(trial.lesson, MAX_LESSON),
    }


def whole(trial: RecordedTrial) -> dict[str, Any]:
    """One experiment with its whole strategy."""
    return {**brief_of(trial), "strategy": trial.strategy_config}


def outcome_of(trial: RecordedTrial) -> str:
    return "failed a gate" if trial.verdict == Verdict.REJECTED.value else "passed the gates"


def figures(metrics: Mapping[str, Any], names: Iterable[str]) -> dict[str, float | int]:
    """Those of the metrics that are numbers, short."""
    found = {name: metrics.get(name) for name in names}
    return {
        name: value if isinstance(value, int) else float(f"{value:.{FIGURES}g}")
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _indicators(strategy: Mapping[str, Any]) -> list[str]:
    return [
        " ".join(
            [str(one.get("type")), *(f"{name}={value}" for name, value in one.items() if name != "type")]
        )
        for one in (strategy.get("indicators") or {}).values()
    ]


def _worth(trial: RecordedTrial) -> tuple[float, int]:
    return (trial.sharpe or 0.0, trial.trial_id)


def _about(trial: RecordedTrial) -> frozenset[str]:
    said = (
        trial.brief,
        trial.lesson,
        str(trial.strategy_config.get("name")),
        *_indicators(trial.strategy_config),
    )
    return _words(" ".join(said))


def _words(text: str) -> frozenset[str]:
    return frozenset(one for one in re.findall(r"[^\W\d_]{3,}", text.lower()))
