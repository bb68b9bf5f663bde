"""The files in the documents are strategies that train."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_market
from ktrdr.domain.strategies import parse_strategy
from ktrdr.domain.strategy_files import report_on_text
from ktrdr.training.loop import train
from ktrdr.training.problem import build_problem
from tests.unit.grammar.whole import TEXT

FOLDER = Path(__file__).parents[3] / "docs" / "strategies"
FILES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yaml"))}


@pytest.mark.parametrize("text", [TEXT, *FILES.values()], ids=["the grammar's", *FILES])
def test_an_example_is_valid_and_trains(text: str) -> None:
    """Without a warning, but for what the grammar's own example has and a classification does not act on."""
    report = report_on_text(text)
    assert report.errors == ()
    assert {one["path"] for one in report.warnings} <= {"decisions.cost_model.min_edge_multiplier"}
    assert report.config is not None
    config = {**report.config, "training": {**report.config["training"], "epochs": 2}}
    strategy = parse_strategy(config)
    problem = build_problem(load_market(Catalog(None), strategy, with_holdout=False), strategy, seed=1)
    trained = train(problem, None, lambda *_: True)
    assert trained is not None
    assert trained.manifest["features"] == list(report.features)
    assert trained.metrics["test"]["rows"] > 100
