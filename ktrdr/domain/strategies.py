"""A strategy as it is run: one validator for designer, API, trainer, backtest and command line.

All errors of a strategy are reported at once; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.grammar.checking import VERSION_2, check, is_version_2
from ktrdr.domain.grammar.faults import Fault
from ktrdr.domain.grammar.indicators import INDICATORS
from ktrdr.domain.grammar.parts import (
    Architecture,
    DataSplit,
    Decisions,
    EarlyStopping,
    Filters,
    FuzzySet,
    Indicator,
    Input,
    Labels,
    LrScheduler,
    Membership,
    Model,
    Risk,
    Strategy,
    Training,
    WalkForward,
)

__all__ = [
    "INDICATORS",
    "Architecture",
    "DataSplit",
    "Decisions",
    "EarlyStopping",
    "Filters",
    "FuzzySet",
    "Indicator",
    "Input",
    "Labels",
    "LrScheduler",
    "Membership",
    "Model",
    "Risk",
    "Strategy",
    "Training",
    "WalkForward",
    "invalid_strategy",
    "is_learnt",
    "learnt_sha256",
    "parse_strategy",
    "split_reference",
    "strategy_sha256",
]


# What no training reads: how calls become positions, and what a strategy is called.
NOT_LEARNT = (
    "name",
    "description",
    "decisions.confidence_threshold",
    "decisions.cost_model",
    "decisions.position_awareness",
    "decisions.filters",
    "decisions.risk",
)


def parse_strategy(config: Mapping[str, Any]) -> Strategy:
    """The strategy, or InvalidInput with every error: path, message, and what was found."""
    if isinstance(config, Mapping) and is_version_2(config):
        raise InvalidInput(
            VERSION_2, {"errors": [{"path": "version", "message": "version 2 is not read any more"}]}
        )
    strategy, errors = check(config)
    if strategy is None:
        raise invalid_strategy(errors)
    return strategy


def strategy_sha256(strategy: Strategy) -> str:
    """Names a strategy by what it says."""
    return sha256_of(strategy.to_config())


def is_learnt(path: str) -> bool:
    """Whether a model depends on what a strategy says at a dotted path."""
    return not any(path == one or path.startswith(f"{one}.") for one in NOT_LEARNT)


def learnt_sha256(strategy: Strategy) -> str:
    """Names what a model is trained by: two strategies that share it share their models."""
    config = strategy.to_config()
    decisions = {name: one for name, one in config["decisions"].items() if is_learnt(f"decisions.{name}")}
    return sha256_of(
        {**{name: one for name, one in config.items() if is_learnt(name)}, "decisions": decisions}
    )


def split_reference(reference: str) -> tuple[str, str | None]:
    """`macd_1.histogram` → ("macd_1", "histogram")."""
    name, _, output = reference.partition(".")
    return name, output or None


def invalid_strategy(errors: Sequence[Fault]) -> InvalidInput:
    """The refusal of a strategy with these errors."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = f"{first['path']}: " if first["path"] else ""
    return InvalidInput(
        f"The strategy is not valid: {where}{first['message']}{more}.", {"errors": list(errors)}
    )
