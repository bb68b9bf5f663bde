"""`python -m ktrdr.workers.leak_check JOB ROOT`: the leak check of a strategy, in a process of its own.

The request is JSON on standard input, the answer on standard output (`ktrdr.data.answering`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ktrdr.data.answering import answer
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import InvalidInput, StepFailed

MEMORY_BYTES = 16 * 2**30  # address space: torch reserves more than it uses


def main() -> int:
    """Answer one request; a refusal is an answer too."""
    root = sys.argv[2]
    catalog = Catalog(Path(root) if root else None)
    advice = "Name a shorter date_range in the strategy."
    return answer(lambda request: _check(catalog, request), memory=MEMORY_BYTES, advice=advice)


def _check(catalog: Catalog, request: Mapping[str, Any]) -> dict[str, Any]:
    """What computes is imported once the memory is bounded."""
    from ktrdr.checkpointing.artifacts import read_generation
    from ktrdr.checkpointing.schemas import Manifest
    from ktrdr.domain.strategies import parse_strategy
    from ktrdr.training.leaks import Model, find_leaks
    from ktrdr.workers.jobs.files import unpack

    strategy, seed = parse_strategy(request["strategy"]), int(request["seed"])
    model: Model | None = None
    if request["model"] is not None:
        manifest = Manifest.from_json(request["model"])
        model = Model(*unpack(read_generation(Path(request["artifacts"]), manifest)), strategy)
    try:
        report = find_leaks(catalog, strategy, model, seed=seed)
        whole = replace(report, leaks=(*report.leaks, *_fills(catalog, strategy, seed)))
    except StepFailed as failed:
        raise InvalidInput(
            f"The strategy can't be checked: {failed.message}", {"step_code": failed.step_code}
        ) from failed
    return whole.to_json()


def _fills(catalog: Catalog, strategy: Any, seed: int) -> tuple[Any, ...]:
    """The simulation on the strategy's own bars and rules, by targets at random: they change often."""
    import numpy as np

    from ktrdr.backtesting.kernel import simulate
    from ktrdr.backtesting.leaks import find_leaks
    from ktrdr.backtesting.rules import rules_of
    from ktrdr.domain.leaks import gathered
    from ktrdr.training.leaks import MOMENTS
    from ktrdr.training.worlds import World

    world = World.load(catalog, strategy, seed)
    symbol = world.symbols[0]
    bars = world.bars(symbol)
    rules = rules_of(strategy)
    targets = np.random.default_rng(seed).integers(-1, 2, len(bars)).astype(np.int8)
    segment = (0, len(bars))
    found = find_leaks(
        lambda seen, wanted: simulate(seen, wanted, *segment, rules).equity,
        bars,
        targets,
        segment,
        symbol,
        world.moments(MOMENTS),
        seed,
    )
    return gathered(found)


if __name__ == "__main__":
    sys.exit(main())
