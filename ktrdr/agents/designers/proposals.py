"""What a designer is asked and what it answers, as it crosses to the child process and back.

A request holds validation results only. There is no field for anything else, and one that has
another is refused: what a designer must not know cannot reach it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trial:
    """A strategy tried before. `value` is its Sharpe ratio on validation bars; None: it has none.

    `params` are the designer's own parameters; empty when they are to be read from the strategy.
    """

    strategy_config: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None


@dataclass(frozen=True)
class DesignRequest:
    """One design: the same request has the same answer."""

    dataset: str
    seed: int
    trials: tuple[Trial, ...] = ()

    def to_json(self) -> dict[str, Any]:
        trials = [asdict(trial) for trial in self.trials]
        for trial in trials:
            if trial["value"] is not None and not math.isfinite(trial["value"]):
                trial["value"] = None
        return {"dataset": self.dataset, "seed": self.seed, "trials": trials}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DesignRequest:
        """Raises ValueError on a missing or unknown key."""
        _only(value, ("dataset", "seed", "trials"), "a design request")
        for trial in value["trials"]:
            _only(trial, ("strategy_config", "params", "value"), "a trial")
        trials = tuple(Trial(one["strategy_config"], one["params"], one["value"]) for one in value["trials"])
        return cls(str(value["dataset"]), int(value["seed"]), trials)


@dataclass(frozen=True)
class Design:
    """A strategy and why it is worth a try."""

    strategy_config: Mapping[str, Any]
    research_notes: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Design:
        """Raises ValueError on a missing or unknown key."""
        _only(value, ("strategy_config", "research_notes"), "a design")
        return cls(value["strategy_config"], str(value["research_notes"]))


def _only(value: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    if set(value) != set(keys):
        raise ValueError(f"{what} has the keys {', '.join(keys)}; this one has {', '.join(sorted(value))}")
