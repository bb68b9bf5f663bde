from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.training.filters import VOLUME_BARS, without_thin_entries

BARS = st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 9)), min_size=1, max_size=80)


@given(BARS)
def test_an_entry_waits_for_volume_and_an_exit_does_not(bars: list[tuple[int, int]]) -> None:
    """Bar by bar: held on, left, or entered on a bar with at least the mean of the last 20."""
    targets = np.array([target for target, _ in bars], dtype=np.int8)
    volume = [float(traded) for _, traded in bars]
    expected, held = [], 0
    for bar, (wanted, _) in enumerate(bars):
        last = volume[max(0, bar - VOLUME_BARS + 1) : bar + 1]
        if wanted != held:
            held = wanted if volume[bar] >= sum(last) / len(last) else 0
        expected.append(held)
    assert without_thin_entries(targets, np.array(volume)).tolist() == expected


@given(BARS, st.data())
def test_later_volume_and_targets_change_nothing_before(
    bars: list[tuple[int, int]], data: st.DataObject
) -> None:
    """The filter decides by the bars up to its own."""
    cut = data.draw(st.integers(0, len(bars)))
    targets = np.array([target for target, _ in bars], dtype=np.int8)
    volume = np.array([traded for _, traded in bars], dtype=np.float64)
    whole = without_thin_entries(targets, volume)
    volume[cut:] += 1000.0
    targets[cut:] = -targets[cut:]
    assert without_thin_entries(targets, volume)[:cut].tolist() == whole[:cut].tolist()
