"""How long a busy provider is waited for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ktrdr.agents.llm.waiting import Patience


def test_waits_double_up_to_the_longest() -> None:
    patience = Patience(first=1.0, longest=8.0, total=600.0, tries=20)
    assert [patience.wait(failures, 0.0, None) for failures in range(1, 7)] == [1, 2, 4, 8, 8, 8]


def test_a_retry_after_is_never_undercut() -> None:
    patience = Patience()
    assert patience.wait(1, 0.0, 30.0) == 30.0
    assert patience.wait(5, 0.0, 0.5) == 16.0


def test_what_is_beyond_the_total_is_not_waited_for() -> None:
    patience = Patience(total=60.0)
    assert patience.wait(1, 0.0, 61.0) is None
    assert patience.wait(3, 57.0, None) is None
    assert patience.wait(3, 56.0, None) == 4.0


@given(st.lists(st.none() | st.floats(0, 100), max_size=50))
def test_it_ends(asked: list[float | None]) -> None:
    """Whatever a provider asks for, no more than `tries` requests and `total` seconds."""
    patience, waited, failures = Patience(total=120.0, tries=20), 0.0, 0
    for wish in [*asked, *[None] * 20]:
        failures += 1
        seconds = patience.wait(failures, waited, wish)
        if seconds is None:
            break
        waited += seconds
    assert failures <= 20
    assert waited <= 120.0
