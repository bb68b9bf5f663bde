"""How long something has been as it is."""

from __future__ import annotations

from ktrdr.workers.ages import Ages


def test_a_key_ages_from_the_look_at_which_it_was_first_seen() -> None:
    now = 0.0
    ages: Ages[str] = Ages(lambda: now)
    assert ages.of(["a"]) == {"a": 0.0}
    now = 2.0
    assert ages.of(["a", "b"]) == {"a": 2.0, "b": 0.0}
    now = 3.0
    assert ages.of(["b"]) == {"b": 1.0}
    now = 4.0
    assert ages.of(["a", "b"]) == {"a": 0.0, "b": 2.0}, "what was gone for one look is new"
    ages.forget()
    assert ages.of(["b"]) == {"b": 0.0}
