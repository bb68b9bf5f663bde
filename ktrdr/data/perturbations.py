"""Other markets that begin like this one: what has closed stays, and what comes after is changed.

Each is valid: prices above zero, high and low around open and close, times that rise. They differ so
that what one of them leaves alone another moves: a sum over all bars does not see their order, a
maximum over all bars does not see a lower price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ktrdr.data.bars import Bars, Floats

HIGHER, LOWER = 3.0, 0.2
WAVE = 0.2  # a change that were the same for every bar would leave returns as they are


def changed(bars: Bars, first: int, perturbation: str, random: np.random.Generator) -> Bars:
    """The bars before `first`, and from there on what the perturbation makes of the rest.

    `bars` stays as it is. Nothing is changed where nothing comes after.
    """
    whole = bars.until(len(bars))
    return PERTURBATIONS[perturbation](whole, first, random) if first < len(bars) else whole


def _higher(bars: Bars, first: int, _: np.random.Generator) -> Bars:
    """Several times the price, in waves, and more volume."""
    return _scaled(bars, first, HIGHER, 7.0)


def _lower(bars: Bars, first: int, _: np.random.Generator) -> Bars:
    """A fraction of the price, in waves, and less volume."""
    return _scaled(bars, first, LOWER, 0.1)


def _reversed(bars: Bars, first: int, _: np.random.Generator) -> Bars:
    """The same bars in the opposite order."""
    return _reordered(bars, first, np.arange(len(bars))[first:][::-1])


def _shuffled(bars: Bars, first: int, random: np.random.Generator) -> Bars:
    """The same bars in any order."""
    return _reordered(bars, first, first + random.permutation(len(bars) - first))


def _cut_off(bars: Bars, first: int, random: np.random.Generator) -> Bars:
    """Nothing but one bar comes, another one than came.

    That one is there to say that the bars before it are whole: without it a higher timeframe's last
    bar would not be known to have ended, on a day on which this series does not trade.
    """
    return _higher(bars, first, random).until(first + 1)


def _scaled(bars: Bars, first: int, level: float, volume: float) -> Bars:
    factor = level * (1.0 + WAVE * np.sin(np.arange(len(bars) - first) + 1.0))
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[first:] *= factor
    bars.volume[first:] = bars.volume[first:] * volume + 1.0
    return bars


def _reordered(bars: Bars, first: int, order: np.typing.NDArray[np.intp]) -> Bars:
    columns: list[Floats] = [bars.open, bars.high, bars.low, bars.close, bars.volume]
    for column in columns:
        column[first:] = column[order]
    return bars


CUT_OFF = "cut off"
PERTURBATIONS: Mapping[str, Callable[[Bars, int, np.random.Generator], Bars]] = {
    "higher": _higher,
    "lower": _lower,
    "reversed": _reversed,
    "shuffled": _shuffled,
    CUT_OFF: _cut_off,
}
# As many bars as there were: what is split by shares of the bars is split where it was.
SAME_LENGTH = tuple(name for name in PERTURBATIONS if name != CUT_OFF)
