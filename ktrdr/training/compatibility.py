"""Whether a model belongs to a strategy: asked before its networks are shown a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import Strategy, learnt_sha256, strategy_sha256


def check_model(manifest: Mapping[str, Any], strategy: Strategy) -> None:
    """Raises StepFailed (MODEL_MISMATCH) naming the features that differ: missing, surplus, out of order.

    `manifest` is what was stored with the model. A strategy with the same features that differs
    elsewhere in what is learnt (a membership's points, say) is refused too: its features have other
    values. One that differs in how it trades is another strategy over the same model.
    """
    differing = _differing(manifest["features"], strategy.features())
    same = strategy_sha256(strategy) == manifest["strategy_sha256"]
    if not differing and not same and learnt_sha256(strategy) != manifest.get("learnt_sha256"):
        differing = ["its features have the same names, and something else in it was changed"]
    if differing:
        raise StepFailed(
            "MODEL_MISMATCH",
            f"The model was trained for another strategy than '{strategy.name}': {'; '.join(differing)}. "
            "Train the strategy as it is now, or name the training that belongs to it.",
        )


def _differing(trained_on: Sequence[str], now: Sequence[str]) -> list[str]:
    missing = [one for one in trained_on if one not in now]
    surplus = [one for one in now if one not in trained_on]
    found = []
    if missing:
        found.append(f"missing, which it was trained on: {', '.join(missing)}")
    if surplus:
        found.append(f"surplus, which it never saw: {', '.join(surplus)}")
    pairs = enumerate(zip(trained_on, now, strict=False), start=1)
    moved = [f"{at} is {new}, not {old}" for at, (old, new) in pairs if old != new]
    if moved and not found:
        found.append(f"in another order: feature {', '.join(moved)}")
    return found
