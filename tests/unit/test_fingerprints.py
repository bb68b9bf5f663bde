"""A refused resume says which input changed, from what to what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.domain.fingerprints import Fingerprint, canonical_json, described, sha256_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5]) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
MAPPING = st.dictionaries(st.text(max_size=2), JSON, max_size=3)


def of(settings: Any, strategy: Any = None, code: str = "0.1.0", data: str = "d1") -> Fingerprint:
    values = {"strategy": strategy, "settings": settings, "data": {"nasdaq": f"to 2018, {data}"}}
    return Fingerprint(sha256_of(strategy), data, code, sha256_of(settings), values)


def lines(one: Fingerprint, other: Fingerprint) -> list[str]:
    return described(one.difference(other))


def test_each_setting_that_changed_is_a_line() -> None:
    before = of({"min_sharpe": 0.0, "min_trades": 10, "max_drawdown": 0.6})
    now = of({"min_sharpe": 0.5, "min_trades": 20, "max_drawdown": 0.6})
    assert before.difference(now)["settings.min_sharpe"] == {"checkpoint": 0.0, "now": 0.5}
    assert lines(before, now) == ["settings.min_sharpe: 0.0 -> 0.5", "settings.min_trades: 10 -> 20"]


def test_a_strategy_is_compared_key_by_key() -> None:
    before = {"indicators": {"rsi": {"period": 14}}, "symbols": ["A", "B"], "old": []}
    now = {"indicators": {"rsi": {"period": 21, "source": "close"}}, "symbols": ["A", "C"]}
    assert lines(of({}, before), of({}, now)) == [
        "strategy.indicators.rsi.period: 14 -> 21",
        "strategy.symbols.1: B -> C",
        "strategy.old: [] -> absent",
        "strategy.indicators.rsi.source: absent -> close",
    ]


def test_data_and_code_are_told_in_words() -> None:
    found = lines(of({}, data="aaa"), of({}, code="0.2.0", data="bbb"))
    assert found == ["data.nasdaq: to 2018, aaa -> to 2018, bbb", "code: 0.1.0 -> 0.2.0"]


def test_what_an_earlier_ktrdr_saved_is_told_by_its_hashes() -> None:
    """It has hashes alone, and is read as it is."""
    stored = of({"min_sharpe": 0.0}).to_json()
    del stored["values"]
    earlier, now = Fingerprint.from_json(stored), of({"min_sharpe": 0.5})
    assert earlier.to_json() == stored
    assert earlier.difference(now) == {"settings": {"checkpoint": earlier.settings, "now": now.settings}}
    assert earlier.difference(of({"min_sharpe": 0.0})) == {}


def test_a_strategy_that_was_not_known_yet_is_no_difference() -> None:
    undecided = Fingerprint(None, "d1", "c", "s", {"strategy": None})
    assert undecided.difference(Fingerprint("x", "d1", "c", "s", {"strategy": {"a": 1}})) == {}


@given(MAPPING, MAPPING)
def test_a_difference_is_found_exactly_when_the_hashes_differ(before: Any, now: Any) -> None:
    """1 and 1.0 are two values, as they are to the hash; none is lost among names that look alike."""
    found = of(before).difference(of(now))
    assert bool(found) == (sha256_of(before) != sha256_of(now))
    canonical_json(found)
    assert len(described(found)) == min(len(found), 21)


@pytest.mark.parametrize(("many", "last"), [(20, "settings.s19: 0 -> 1"), (25, "and 5 more")])
def test_a_person_is_not_told_too_much(many: int, last: str) -> None:
    before, now = ({f"s{at}": value for at in range(many)} for value in (0, 1))
    found = lines(of(before), of(now))
    assert (len(found), found[-1]) == (min(many, 21), last)
    [one] = lines(of({"brief": "a"}), of({"brief": "b" * 500}))
    assert len(one) < 120
