"""What `ktrdr research memory` shows a person, and what a program gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ktrdr.api.memory_schemas import MemoryData
from ktrdr.api.services.memory_service import ExperimentView, HypothesisView, Memory
from ktrdr.domain.memory import Hypothesis, HypothesisStatus
from ktrdr.persistence.ledger import RecordedTrial
from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]


def remembered(lesson: str = "Trades too much.", statement: str = "Volume adds something.") -> Any:
    strategy = {"name": "small"}
    sharpe = {"sharpe": 0.514}
    trial = RecordedTrial(3, "op", "nasdaq", "validation", "b", strategy, {}, sharpe, "REJECTED", lesson, 0.0)
    idea = Hypothesis(8, "op", 1, statement, HypothesisStatus.SUPPORTED, 0.0)
    found = Memory(5, [ExperimentView(trial, 21)], [HypothesisView(idea, 21, [22, 23])])
    return MemoryData.of(found).model_dump()


def test_experiments_and_hypotheses_are_tables(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/memory", remembered())
    status, out, _ = ktrdr("research", "memory", "--limit", "1")
    assert status == 0
    assert backend.asked == [("GET /agent/memory?limit=1", None)]
    lines = [" ".join(one.split()) for one in out.splitlines()]
    assert "3 21 small 0.51 REJECTED Trades too much." in lines
    assert "8 SUPPORTED 21 22, 23 Volume adds something." in lines
    assert "1 experiment of 5; see more with --limit." in lines


def test_nothing_yet_is_a_sentence(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/memory", {"trials": 0, "experiments": [], "hypotheses": []})
    assert ktrdr("research", "memory")[1].strip() == (
        "No session has completed yet. Start one: ktrdr research start"
    )


def test_json_is_what_the_api_said(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /agent/memory", remembered())
    assert json.loads(ktrdr("research", "memory", "--json")[1]) == remembered()
