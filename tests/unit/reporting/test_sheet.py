"""The tear sheet as text: what stands in it, and what may never."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from ktrdr.reporting.sheet import CONTENT_SECURITY_POLICY, tear_sheet
from ktrdr.reporting.tables import LISTED
from ktrdr.reporting.terms import ROWS, UNKNOWN
from tests.backtests import backtest_report, made_up_bars, momentum

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e</svg>'
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Which elements a page has, which attributes, and whether each is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return backtest_report(made_up_bars(1500), segment="validation", strategy="momentum_demo")


def test_every_section_is_there_and_every_element_is_closed(report: dict[str, Any]) -> None:
    """From the headline to the terms, in order, and each chart says in words what it shows."""
    page = Page(tear_sheet(report))
    names = ["headline", "equity", "drawdown", "months", "years", "candles"]
    names += ["distribution", "metrics", "trades", "terms"]
    assert [one["id"] for one in page.of("section")] == names
    plots = [one for one in page.of("svg") if one.get("class") == "plot"]
    assert len(plots) >= 5
    assert all(one["aria-label"] for one in plots)


def test_hostile_names_stay_text(report: dict[str, Any]) -> None:
    """A symbol, a strategy and an exit reason that are HTML add no element and no handler."""
    hostile = copy.deepcopy(report)
    hostile["meta"] |= {"symbols": [HOSTILE], "strategy": HOSTILE, "segment": HOSTILE, "timeframe": HOSTILE}
    hostile["meta"] |= {"operation_id": HOSTILE, "fingerprint": HOSTILE}
    hostile["bars"]["symbol"] = HOSTILE
    hostile["metrics"][HOSTILE] = HOSTILE
    for one in hostile["trades"]:
        one |= {"pair": HOSTILE, "exit_reason": HOSTILE}
    written = tear_sheet(hostile)
    page, harmless = Page(written), Page(tear_sheet(report))
    for tag in ("script", "img"):
        assert len(page.of(tag)) == len(harmless.of(tag))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "\u202e" not in written


def test_nothing_outside_the_file_is_named(report: dict[str, Any]) -> None:
    """No address, no inline handler and no inline style: the policy lets only the two own blocks through."""
    written = tear_sheet(report)
    page = Page(written)
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"<script.*?</script>", "", written)) == []
    assert {one.get("href") for one in page.of("link")} == {"data:,"}
    assert not [one for _, one in page.elements if "src" in one or "style" in one]
    policies = [one["content"] for one in page.of("meta") if one.get("http-equiv")]
    assert policies == [CONTENT_SECURITY_POLICY]


@pytest.mark.parametrize("segment", [*ROWS, None])
def test_the_kind_of_rows_is_said_first(report: dict[str, Any], segment: str | None) -> None:
    """Validation, holdout and watched rows are told apart, and rows of which nothing is known are suspect."""
    page = Page(tear_sheet(report, {"segment": segment}))
    assert (UNKNOWN if segment is None else ROWS[segment]) in page.words


def test_what_the_operation_knows_joins_the_terms(report: dict[str, Any]) -> None:
    page = Page(tear_sheet(report, {"operation_id": "op_1.backtesting", "fingerprint": "ab" * 32}))
    assert {"op_1.backtesting", "ab" * 32} <= set(page.words)


def test_the_first_trades_are_listed_and_the_rest_counted() -> None:
    """Two hundred rows at most, and a sentence that says how many more there are."""
    bars = made_up_bars(6000, step=3600)
    report = backtest_report(bars, momentum(bars, 12, 3), segment="validation")
    more = len(report["trades"]) - LISTED
    assert more > 0
    page = Page(tear_sheet(report))
    assert any(f"{more} more are in the exports" in one for one in page.words)
    assert page.words.count("stop loss") + page.words.count("trailing stop") < LISTED


@pytest.mark.parametrize("count", [1, 2, 90])
def test_a_backtest_of_next_to_nothing_has_a_sheet(count: int) -> None:
    """One bar, two bars and no trade at all: fewer charts, and no error."""
    page = Page(tear_sheet(backtest_report(made_up_bars(count), np.zeros(count, dtype=np.int8))))
    assert "No position was ever opened." in page.words


def test_figures_that_are_unknown_are_a_dash(report: dict[str, Any]) -> None:
    """Null is neither a zero nor an error, whichever figure it is; nothing on the sheet is nan or None."""
    unknown = copy.deepcopy(report)
    unknown["metrics"] = dict.fromkeys(unknown["metrics"])
    for one in unknown["trades"]:
        one |= {"profit_ratio": None, "profit_abs": None, "fee": None}
    unknown["monthly"][3][2] = None
    unknown["yearly"][1][1] = None
    assert not {"None", "nan", "inf"} & set(Page(tear_sheet(unknown)).words)


def test_an_account_that_lost_everything_is_drawn(report: dict[str, Any]) -> None:
    """Nothing has no logarithm: the scale is linear then."""
    ruined = copy.deepcopy(report)
    ruined["series"]["equity"][-100:] = [0.0] * 100
    ruined["series"]["drawdown"][-100:] = [1.0] * 100
    assert "Logarithmic" not in "".join(Page(tear_sheet(ruined)).words)


def test_another_schema_is_refused(report: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schema 1, not 2"):
        tear_sheet({**report, "schema": 2})


def test_a_report_is_always_the_same_sheet(report: dict[str, Any]) -> None:
    assert tear_sheet(report) == tear_sheet(copy.deepcopy(report))


def test_nothing_numeric_is_imported() -> None:
    """The API process makes sheets, so it may not pay for numpy."""
    code = "import sys, ktrdr.reporting.sheet; print({'numpy', 'torch', 'pandas'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
