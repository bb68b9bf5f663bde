"""docs/indicators.md says what is computed, for every indicator and no other."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from ktrdr.data.indicators import outputs
from ktrdr.domain.grammar.indicators import CATALOGUE, READS_BARS
from tests.unit.data.indicators.markets import constant, random_walk, usual_and_unusual

DOCUMENT = Path(__file__).parents[4] / "docs" / "indicators.md"


@lru_cache
def tables() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The cells after the type of each row: of the first table, and of the formulas."""
    overview, formulas = DOCUMENT.read_text(encoding="utf-8").split("## Formulas")
    return rows_of(overview), rows_of(formulas)


def rows_of(text: str) -> dict[str, list[str]]:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    return {name: cells[types] for types in cells if types != "type" for name in types.split(", ")}


def each(cell: str, count: int) -> list[str]:
    """One expression an output; a single one is for all of them."""
    found = re.findall(r"`([^`]*)`", cell) or cell.split(", ")
    return found * count if len(found) == 1 else found


def test_every_indicator_is_in_both_tables_and_no_other_is() -> None:
    overview, formulas = tables()
    assert overview.keys() == CATALOGUE.keys()
    assert formulas.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("kind", CATALOGUE)
def test_parameters_outputs_and_what_is_read_are_the_grammars(kind: str) -> None:
    defaults, names = CATALOGUE[kind]
    parameters, documented, reads, _, _ = tables()[0][kind]
    assert parameters == ", ".join(f"{name} {value}" for name, value in defaults.items())
    assert documented == ", ".join(names)
    assert reads == READS_BARS.get(kind, "source")


@pytest.mark.parametrize("kind", CATALOGUE)
def test_the_first_warm_bar_is_what_the_expression_says(kind: str) -> None:
    """With the default parameters and with others."""
    for one in usual_and_unusual(kind):
        computed = outputs(random_walk(11, 300), one)
        expressions = each(tables()[0][kind][3], len(computed))
        assert [int(np.argmax(np.isfinite(values))) for values in computed] == [
            eval(expression, {"max": max}, dict(one.parameters)) for expression in expressions
        ]


@pytest.mark.parametrize("kind", CATALOGUE)
def test_a_market_that_never_moved_says_what_is_documented(kind: str) -> None:
    """Whatever its price, and for other parameters as well."""
    for price in (0.37, 100.0, 54321.0):
        for one in usual_and_unusual(kind):
            computed = outputs(constant(240, price), one)
            for values, wanted in zip(computed, each(tables()[0][kind][4], len(computed)), strict=True):
                still = price if wanted == "price" else float(wanted)
                np.testing.assert_allclose(values[100:], still, rtol=1e-9, atol=1e-9)
