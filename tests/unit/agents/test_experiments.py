"""Which earlier experiments a designing model is shown, and what of them it never is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ktrdr.agents.designers.experiments import MAX_SHOWN, brief_of, chosen
from ktrdr.persistence.ledger import RecordedTrial
from tests.integration.strategies import SMALL


def trial(number: int, sharpe: float | None = None, **fields: Any) -> RecordedTrial:
    validation = {} if sharpe is None else {"sharpe": sharpe}
    given = {"dataset": "nasdaq", "brief": "", "lesson": "", "verdict": "NOT_PROVEN"} | fields
    return RecordedTrial(
        number,
        f"op_{number}",
        str(given["dataset"]),
        "validation",
        str(given["brief"]),
        SMALL,
        {"balanced_accuracy": 0.34},
        validation,
        str(given["verdict"]),
        str(given["lesson"]),
        0.0,
    )


def ids(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[int]]:
    return {name: [one["id"] for one in those] for name, those in found.items()}


def test_the_best_the_worst_and_the_most_relevant_are_shown_once_each() -> None:
    trials = [trial(number, sharpe=number / 10) for number in range(1, 31)]
    found = ids(chosen(trials, "nasdaq", ""))
    assert (found["best"], found["worst"]) == ([30, 29, 28], [1, 2, 3])
    assert found["relevant"] == [27, 26, 25, 24, 23, 22]  # without words the newest


def test_relevant_is_what_is_on_the_same_data_and_shares_words() -> None:
    trials = [
        trial(1, brief="momentum on weekly bars"),
        trial(2, brief="mean reversion", lesson="Volume adds something."),
        trial(3, brief="Mean-reversion with volume", dataset="other"),
        trial(4, brief="nothing of it"),
    ]
    assert ids(chosen(trials, "nasdaq", "Mean reversion, volume?"))["relevant"] == [2, 4, 1, 3]


def test_few_experiments_are_not_shown_twice() -> None:
    assert ids(chosen([trial(1, 0.5)], "nasdaq", "")) == {"best": [1], "worst": [], "relevant": []}
    assert ids(chosen([], "nasdaq", "x")) == {"best": [], "worst": [], "relevant": []}


@pytest.mark.parametrize("limit", [-5, 0, 3, 10**9])
def test_no_more_are_shown_than_there_is_room_for(limit: int) -> None:
    found = chosen([trial(number, number / 10) for number in range(200)], "nasdaq", "", limit)
    assert sum(map(len, found.values())) == (MAX_SHOWN if limit > MAX_SHOWN else 3)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ("ESTABLISHED", "passed the gates"),
        ("NOT_PROVEN", "passed the gates"),
        ("REJECTED", "failed a gate"),
    ],
)
def test_the_verdict_is_not_told(verdict: str, outcome: str) -> None:
    """It comes from the holdout: who knew it would fit the next strategy to those days."""
    shown = brief_of(trial(1, 0.5, verdict=verdict))
    assert shown["outcome"] == outcome
    assert verdict not in json.dumps(shown)


def test_an_experiment_is_told_in_a_few_figures() -> None:
    shown = brief_of(trial(1, 0.123456, lesson="x" * 900))
    assert shown["validation"] == {"sharpe": 0.1235}
    assert shown["indicators"] == ["rsi period=14", "roc period=10"]
    assert len(shown["lesson"]) == 500
