"""The curves of a simulation: its worth, that of buying and holding the same bars, and its drawdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.prices import Floats, Prices

Times = NDArray[np.int64]


class Candles(Prices, Protocol):
    """Prices of one symbol (n,) or of several on one calendar (n, s), and when each bar opens, (n,), in
    seconds since 1970-01-01 UTC. `ktrdr.data.bars.Bars` is one, and so is a `Panel`."""

    @property
    def time(self) -> Times: ...


@dataclass(frozen=True, eq=False)
class Curves:
    """Four arrays (m,) of the m bars of a segment; a bar's time is when it opens, its values are of its
    close.

    `equity` and `benchmark` are money: the account, and its capital put into the same bars at the
    first close. `drawdown` is the fraction (0.1 is ten per cent) by which the equity lies below its
    peak so far, the capital included.
    """

    time: Times
    equity: Floats
    benchmark: Floats
    drawdown: Floats


def curves(result: SimulationState, bars: Candles) -> Curves:
    """Raises ValueError when nothing was simulated yet."""
    if len(result.equity) == 0:
        raise ValueError("nothing was simulated yet: there is nothing to measure")
    return Curves(
        time=bars.time[result.first : result.bar],
        equity=result.equity,
        benchmark=result.capital * buy_and_hold(result, bars),
        drawdown=drawdown(np.concatenate([[result.capital], result.equity]))[1:],
    )


def drawdown(worth: Floats) -> Floats:
    """(m,) how far each value lies below the highest so far, as a fraction of it."""
    return np.asarray(_below_peak_compiled(worth))


def _below_peak(worth: Floats) -> Floats:
    depths, peak = np.empty(len(worth)), -np.inf
    for at in range(len(worth)):
        peak = max(peak, worth[at])
        depths[at] = 1.0 - worth[at] / peak
    return depths


# A tenth of the time that numpy's running maximum takes, with the same bits.
_below_peak_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(_below_peak)


def strategy_returns(result: SimulationState) -> Floats:
    """(m - 1,) close-to-close returns of m bars; the first bar is flat by construction and left out.

    A ruined account returns nothing, rather than nothing divided by nothing.
    """
    return np.asarray(_changes_compiled(result.equity))


def _changes(worth: Floats) -> Floats:
    returns = np.zeros(len(worth) - 1)
    for at in range(len(returns)):
        if worth[at] > 0.0:
            returns[at] = (worth[at + 1] - worth[at]) / worth[at]
    return returns


_changes_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(_changes)


def benchmark_returns(result: SimulationState, bars: Prices) -> Floats:
    """(m - 1,) close-to-close returns of holding the same bars, of several symbols in equal parts."""
    worth = held_worth(result, bars)
    returns = worth[1:] / worth[:-1]
    returns -= 1.0
    return np.asarray(returns)


def held_worth(result: SimulationState, bars: Prices) -> Floats:
    """(m,) worth of equal parts of the symbols, bought at the first close and left there; of a single
    symbol its closes. It means nothing but beside another of its values.

    A symbol whose bars begin later stands in a `Panel` at its first open until then: its part waits.
    """
    closes = bars.close[result.first : result.bar]
    return closes if closes.ndim == 1 else np.asarray((closes / closes[0]).mean(axis=1))


def buy_and_hold(result: SimulationState, bars: Prices) -> Floats:
    """(m,) worth of 1 that was put into equal parts of the symbols at the first close, and left there."""
    worth = held_worth(result, bars)
    return np.asarray(worth / worth[0])


def iso_texts(seconds: Times) -> list[str]:
    """Times (k,) in seconds since 1970-01-01 as ISO 8601 in UTC."""
    texts: list[str] = np.datetime_as_string(seconds.astype("datetime64[s]"), timezone="UTC").tolist()
    return texts
