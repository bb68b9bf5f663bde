"""What a designing model may ask: bounded answers, and one validator for what it returns."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from ktrdr.agents.designers.tools import MAX_ANSWER, MAX_STRATEGY, Bench, Idea
from ktrdr.agents.prompts import ASSESSOR, DESIGNER, NAMES, prompt, prompt_sha256
from ktrdr.data.catalog import Catalog
from ktrdr.domain.strategies import parse_strategy
from tests.integration.strategies import SMALL
from tests.unit.agents.test_experiments import trial
from tests.unit.data.series import put, walk

LONG = [trial(number, number / 100, brief="b" * 4000, lesson="l" * 4000) for number in range(200)]
IDEAS = [
    Idea(number, f"{number} " + "h" * 3000, "OPEN" if number % 2 else "REFUTED") for number in range(100)
]
ASKED = ("list_indicators", "data_summary", "past_experiments", "hypotheses")


def bench(**fields: Any) -> Bench:
    given: dict[str, Any] = {"dataset": "nasdaq", "brief": "", "trials": LONG, "ideas": IDEAS}
    return Bench(catalog=fields.pop("catalog", Catalog(None)), **(given | fields))


def size(answer: dict[str, Any]) -> int:
    return len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("tool", ASKED)
def test_an_answer_is_bounded_however_much_is_known(tool: str) -> None:
    answer = asyncio.run(getattr(bench(), tool)())
    assert "error" not in answer
    assert 300 < size(answer) <= MAX_ANSWER


def test_every_part_of_the_grammar_is_described_within_bounds() -> None:
    parts = asyncio.run(bench().describe())["parts"]
    assert {"Strategy", "Labels", "Training", "Decisions"} <= set(parts)
    for part in parts:
        answer = asyncio.run(bench().describe(part))
        assert part in answer
        assert size(answer) <= MAX_ANSWER
    assert "closest" in asyncio.run(bench().describe("labels"))


def test_what_is_cut_says_so_and_open_hypotheses_come_first() -> None:
    answer = asyncio.run(bench().hypotheses())
    assert [one["id"] for one in answer["hypotheses"][:3]] == [99, 97, 95]
    assert (answer["known"], answer["cut"]) == (100, True)


def test_an_experiment_is_shown_whole_and_only_when_it_is_known() -> None:
    assert asyncio.run(bench().experiment(7))["strategy"] == SMALL
    assert "no experiment 1000" in asyncio.run(bench().experiment(1000))["error"]


def test_the_summary_is_of_development_alone(tmp_path: Path) -> None:
    """Planted in the holdout, a price moves nothing in it."""
    bars, holdout = walk("1d", 400), date(2024, 12, 1)
    catalog = Catalog(tmp_path)
    key = put(tmp_path, "X", "1d", bars, holdout=holdout).key
    before = asyncio.run(bench(catalog=catalog, dataset=key).data_summary())
    assert before["last"] == "2024-11-30"
    first = int((bars.time < 1_733_011_200).sum())
    assert before["bars"] == first
    bars.close[first:] = bars.high[first:] = 99_999.0
    put(tmp_path, "X", "1d", bars, holdout=holdout)
    assert asyncio.run(bench(catalog=catalog, dataset=key).data_summary()) == before
    bars.close[first - 1] *= 1.01
    put(tmp_path, "X", "1d", bars, holdout=holdout)
    assert asyncio.run(bench(catalog=catalog, dataset=key).data_summary()) != before


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": "import os"}, "unknown key 'code'"),
        ({"indicators": {"x": {"type": "rsi", "path": "/etc/passwd"}}}, "no parameter 'path'"),
        ({"description": "a\x1b[2J"}, "can't be shown"),
        ({"description": "a\x00"}, "can't be shown"),
        ({"description": "\ud800"}, "can't be shown"),
        ({"na\u202eme": 1}, "can't be shown"),
        ({"description": "x" * MAX_STRATEGY}, "at most 65,536 bytes"),
        ({"x": deep(5000)}, "levels deep"),
        ({"training": {**SMALL["training"], "learning_rate": float("nan")}}, "not finite"),
        ({"training_data": {**SMALL["training_data"], "symbols": {"symbol": "GOOG"}}}, "GOOG"),
    ],
)
def test_a_strategy_that_is_not_one_is_refused_in_few_words(change: dict[str, Any], why: str) -> None:
    answer = asyncio.run(bench().validate_strategy({**copy.deepcopy(SMALL), **change}))
    assert answer["valid"] is False
    assert why in json.dumps(answer)
    assert size(answer) <= MAX_ANSWER


def test_a_strategy_stays_on_the_data_of_its_session(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    other = put(tmp_path, "X", "1d", walk("1d", 400)).key
    answer = asyncio.run(bench(catalog=catalog, dataset=other).validate_strategy(SMALL))
    assert "the research is on 'X' at 1d" in answer["errors"][0]["message"]
    assert asyncio.run(bench().validate_strategy(SMALL)) == {"valid": True}


def test_the_designers_prompt_shows_a_valid_strategy_and_names_tools_that_there_are() -> None:
    text = prompt(DESIGNER)
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    parse_strategy(yaml.safe_load(example))
    for name in ("data_summary", "past_experiments", "hypotheses", "list_indicators", "describe"):
        assert f"`{name}`" in text
        assert callable(getattr(Bench, name))


def test_a_prompt_is_named_by_what_it_says() -> None:
    assert prompt_sha256(DESIGNER) != prompt_sha256(ASSESSOR)
    assert [len(prompt_sha256(name)) for name in NAMES] == [64, 64]
