"""Text becomes plain values with lines, within bounds, whoever wrote it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.domain.grammar.reading import MAX_DEPTH, MAX_VALUES, line_of, read_strategy
from tests.integration.strategies import SMALL
from tests.unit.grammar.test_stability import EXAMPLE
from tests.unit.grammar.whole import TEXT

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
KEY = st.text(max_size=40)  # YAML takes keys of up to 1024 characters, escapes included
FLAT = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(FLAT, lambda inner: st.lists(inner) | st.dictionaries(KEY, inner), max_leaves=20)


def refusal(text: str) -> tuple[int | None, str]:
    """(line, message) of the only error."""
    reading = read_strategy(text)
    (fault,) = reading.errors
    return fault.get("line"), fault["message"]


def test_lines_lead_to_what_is_written_and_to_what_holds_what_is_not() -> None:
    lines = read_strategy(TEXT).lines
    assert lines["indicators.rsi_14.period"] == 10
    assert lines["nn_inputs.1.fuzzy_set"] == 22
    assert lines["fuzzy_sets.macd_trend.bullish.parameters.1"] == 19
    assert line_of(lines, "training.labels.nothing.here") == 43
    assert line_of(lines, "") == 1
    assert line_of({}, "training") is None


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_by_the_same_reader(indent: Any) -> None:
    config = {**SMALL, "description": 'a "tab"\\ / é 🙂\n'}
    assert read_strategy(json.dumps(config, indent=indent)).value == config
    assert read_strategy(json.dumps(config, indent=indent, ensure_ascii=False)).value == config


@given(st.dictionaries(KEY, JSON, min_size=1))
def test_whatever_json_says_is_read_as_json_says_it(value: dict[str, Any]) -> None:
    reading = read_strategy(json.dumps(value))
    assert reading.errors == ()
    assert reading.value == value


def test_yaml_is_read_as_a_safe_loader_reads_it_but_dates_stay_text() -> None:
    expected = yaml.safe_load(EXAMPLE.read_text())
    dates = expected["training_data"]["date_range"]
    expected["training_data"]["date_range"] = {name: day.isoformat() for name, day in dates.items()}
    assert read_strategy(EXAMPLE.read_text()).value == expected


@pytest.mark.parametrize("written", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_a_small_number_is_a_number_in_every_spelling(written: str) -> None:
    assert read_strategy(f"learning_rate: {written}").value == {"learning_rate": 0.001}


def test_aliases_are_read() -> None:
    assert read_strategy("a: &x [1, 2]\nb: *x").value == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "the file is empty"),
        ("# nothing\n", None, "the file is empty"),
        ("name: x\nname: y", 2, "'name' is there twice; first in line 1"),
        ('{"a": 1,\n"a": 2}', 2, "'a' is there twice; first in line 1"),
        ("a:\n  - [1\nb: 2", 3, "neither YAML nor JSON"),
        ("a: b: c", 1, "neither YAML nor JSON"),
        ("a: 1\n---\nb: 2", 2, "neither YAML nor JSON"),
        ("a: *nobody", 1, "neither YAML nor JSON"),
        ("a: \x00", None, "neither YAML nor JSON"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "the tag"),
        ("a: !!binary aGk=", 1, "the tag"),
        ("a: !!set {x}", 1, "the tag"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, "merge keys"),
        ("? [1, 2]\n: 3", 1, "a key is plain text"),
        ("a: !!int x", 1, "not a number"),
        (f"a: {'9' * 5000}", 1, "not a number"),
        ("a: &x [*x]", 1, "unfold to too much"),
        (BOMB, None, "unfold to too much"),
        ("[" * 100_000, 1, f"at most {MAX_DEPTH} deep"),
        ("a: " + "{a: " * 50 + "}" * 50, 1, f"at most {MAX_DEPTH} deep"),
        ("- x\n" * (MAX_VALUES + 1), MAX_VALUES, f"at most {MAX_VALUES} values"),
        ("a: " + "x" * 2_000_000, None, "at most 1000000 bytes"),
        ("a: " + "é" * 600_000, None, "at most 1000000 bytes"),
    ],
)
def test_what_is_not_read_is_a_sentence_with_its_line(text: str, line: int | None, message: str) -> None:
    found_line, found = refusal(text)
    assert message in found
    if line is not None:
        assert found_line == line


def test_hostile_text_is_refused_soon() -> None:
    began = time.monotonic()
    for text in (BOMB, "[" * 900_000, "- x\n" * 200_000, "a: &x [*x, *x, *x]", "{" * 900_000):
        assert read_strategy(text).errors != ()
    assert time.monotonic() - began < 20.0


@given(st.text(alphabet=st.sampled_from(list("a:-[]{}&*!|>'\"#,\n \t1.e~<?%@`")), max_size=60))
def test_no_text_raises(text: str) -> None:
    read_strategy(text)
