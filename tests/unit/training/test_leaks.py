"""What ktrdr comes with raises no alarm, and a check says what it has looked at."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktrdr.data.bars import DAY
from ktrdr.data.catalog import Catalog
from ktrdr.data.perturbations import PERTURBATIONS
from ktrdr.domain.errors import InvalidInput, StepFailed
from ktrdr.domain.leaks import Leak, LeakKind, LeakReport, gathered
from ktrdr.domain.market import NASDAQ, midnight
from ktrdr.domain.strategies import INDICATORS, parse_strategy
from ktrdr.domain.strategy_files import strategy_of
from ktrdr.training.leaks import Model, find_leaks
from ktrdr.training.loop import train
from ktrdr.training.problem import build_problem
from ktrdr.training.worlds import World
from tests.integration.strategies import SMALL
from tests.unit.grammar.whole import TEXT

FOLDER = Path(__file__).parents[3] / "docs" / "strategies"
FILES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yaml"))}
BUILT_IN = Catalog(None)
SHORT: dict[str, Any] = {"date_range": {"start": "1999-01-04", "end": "2003-12-31"}}


def every_indicator() -> dict[str, Any]:
    """SMALL with every output of every indicator as a raw input."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training_data"] |= SHORT
    config["indicators"] |= {f"one_{kind}": {"type": kind} for kind in INDICATORS}
    config["nn_inputs"] += [
        {"raw_indicator": f"one_{kind}.{output}", "normalization": "zscore"}
        for kind, (_, outputs) in INDICATORS.items()
        for output in outputs
    ]
    return config


@pytest.mark.parametrize("text", [TEXT, *FILES.values()], ids=["the grammar's", *FILES])
def test_an_example_has_no_leak(text: str) -> None:
    report = find_leaks(BUILT_IN, strategy_of(None, text), moments=3)
    assert report.leaks == ()
    assert report.perturbations == tuple(PERTURBATIONS)
    assert report.bars > 3000


def test_no_indicator_has_a_leak() -> None:
    report = find_leaks(BUILT_IN, parse_strategy(every_indicator()), moments=3)
    assert report.clean
    assert report.features > len(INDICATORS)


def test_the_networks_of_a_training_are_asked_where_they_are_given() -> None:
    strategy = parse_strategy({**SMALL, "training": {**SMALL["training"], "epochs": 2, "ensemble": 2}})
    world = World.load(BUILT_IN, strategy, 1)
    trained = train(build_problem(world.market, strategy, 1), None, lambda *_: True)
    assert trained is not None
    report = find_leaks(BUILT_IN, strategy, Model(trained.tensors, trained.manifest, strategy), moments=2)
    assert (report.clean, report.trained, report.networks, report.folds) == (True, True, 6, 3)
    assert not find_leaks(BUILT_IN, strategy, moments=2).trained


def test_networks_of_another_strategy_are_refused() -> None:
    strategy = parse_strategy(SMALL)
    manifest = {"features": ["1d_other"], "strategy_sha256": "", "folds": [], "ensemble": 1}
    with pytest.raises(StepFailed) as refused:
        find_leaks(BUILT_IN, strategy, Model({}, manifest, strategy), moments=1)
    assert refused.value.step_code == "MODEL_MISMATCH"


def test_a_series_that_is_not_there_is_named() -> None:
    config = copy.deepcopy(SMALL)
    config["training_data"]["symbols"] = {"mode": "single", "symbol": "NOBODY"}
    with pytest.raises(InvalidInput, match="no data for symbol 'NOBODY'"):
        find_leaks(BUILT_IN, parse_strategy(config))


def test_bars_are_changed_after_each_stretch_and_where_leaks_hide() -> None:
    """The first bars, those before long gaps and the last but one besides; the same ones each time."""
    world = World.load(BUILT_IN, parse_strategy(SMALL), 5)
    time = world.bars("NASDAQ").time
    moments = world.moments(10)
    assert moments == World.load(BUILT_IN, parse_strategy(SMALL), 5).moments(10)
    assert {0, 1, 64, len(time) - 2, int(np.argmax(np.diff(time)))} <= set(moments)
    for part in range(10):
        low, high = (len(time) - 1) * part // 10, (len(time) - 1) * (part + 1) // 10 + 1
        assert any(low <= one <= high for one in moments)


def test_the_holdout_is_only_there_to_be_changed() -> None:
    """What is computed is computed of development; what is stored goes on, so that a leak would show."""
    world = World.load(BUILT_IN, parse_strategy(SMALL), 0)
    end = midnight(NASDAQ.development_end) + DAY
    assert world.learning_ends() == end
    assert world.bars("NASDAQ").time[-1] < end < world.stored["nasdaq"].time[-1]
    ranged = World.load(
        BUILT_IN, parse_strategy({**SMALL, "training_data": SMALL["training_data"] | SHORT}), 0
    )
    assert midnight(NASDAQ.development_end) > ranged.learning_ends() > ranged.bars("NASDAQ").time[1000]


LEAK = Leak(LeakKind.FEATURE, "1d_a", "X", 9, "higher", bar=7, time=604_800, before=1.0, after=None)


def test_a_report_reads_back_to_what_was_written() -> None:
    report = LeakReport((LEAK,), 10, 2, 3, 1, 1, trained=False, perturbations=("higher", "lower"))
    assert LeakReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert not report.clean


def test_what_moved_often_is_told_once_at_its_first_bar() -> None:
    found = gathered(
        [
            Leak(LeakKind.TARGET, "t", "X", 9, "lower", bar=3),
            LEAK,
            Leak(LeakKind.FEATURE, "1d_a", "X", 5, "lower", bar=2),
            Leak(LeakKind.FEATURE, "1d_a", "X", 9, "lower", bar=8),
            Leak(LeakKind.FEATURE, "1d_a", "Y", 9, "lower", bar=1),
        ]
    )
    assert [(one.kind, one.symbol, one.bar, one.perturbation, one.times) for one in found] == [
        (LeakKind.FEATURE, "X", 2, "lower", 3),
        (LeakKind.FEATURE, "Y", 1, "lower", 1),
        (LeakKind.TARGET, "X", 3, "lower", 1),
    ]


def test_every_kind_and_every_change_is_documented() -> None:
    text = (FOLDER.parent / "leaks.md").read_text(encoding="utf-8")
    assert [one for one in (*LeakKind, *PERTURBATIONS) if f"`{one}`" not in text] == []
