"""The simulation: targets decided at a close, filled at the next open.

The loop cannot look ahead: the fill at bar t reads `targets[t - 1]` and `open[t]`, the valuation
reads `close[t]`, and nothing else is read.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ktrdr.backtesting.portfolio import TRADE_COLUMNS, Costs, SimulationState
from ktrdr.backtesting.prices import Floats, Prices, Targets

CASH, UNITS, ENTRY_BAR, ENTRY_PRICE, ENTRY_EQUITY, IN_MARKET, RUINED = range(7)
CHUNK = 100_000  # about half a millisecond


def _close(vector: Floats, trades: Floats, count: int, bar: int, price: float, one_way: float) -> int:
    """Sell what is held (buy back what was sold), write the trade down, and return their number."""
    units = vector[UNITS]
    amount = units * price
    cash = vector[CASH] + amount - one_way * abs(amount)
    # Losses beyond the equity are a broker's, not ours: the account ends at nothing.
    if cash <= 0.0:
        cash = 0.0
        vector[RUINED] = 1.0
    pnl = cash - vector[ENTRY_EQUITY]
    trades[count, 0] = vector[ENTRY_BAR]
    trades[count, 1] = bar
    trades[count, 2] = 1.0 if units > 0.0 else -1.0
    trades[count, 3] = vector[ENTRY_PRICE]
    trades[count, 4] = price
    trades[count, 5] = units
    trades[count, 6] = pnl
    trades[count, 7] = pnl / vector[ENTRY_EQUITY]
    vector[CASH] = cash
    vector[UNITS] = 0.0
    return count + 1


_close_compiled: Any = numba.njit(cache=True, nogil=True)(_close)


def _advance(
    opens: Floats,
    closes: Floats,
    targets: Targets,
    first: int,
    last: int,
    begin: int,
    end: int,
    one_way: float,
    vector: Floats,
    trades: Floats,
    equity: Floats,
) -> int:
    """Bars [begin, end) of the segment [first, last): `vector` is changed in place, trades counted."""
    count = 0
    for bar in range(begin, end):
        if bar > first:
            units = vector[UNITS]
            held = 1 if units > 0.0 else (-1 if units < 0.0 else 0)
            wanted = 0 if vector[RUINED] > 0.0 else int(targets[bar - 1])
            if held != 0 and (wanted != held or vector[CASH] + units * opens[bar] <= 0.0):
                count = _close_compiled(vector, trades, count, bar, opens[bar], one_way)
                held = 0
            if held == 0 and wanted != 0 and vector[RUINED] == 0.0:
                # Sized so that the amount and its cost together are the whole equity.
                amount = vector[CASH] / (1.0 + one_way)
                vector[ENTRY_BAR] = bar
                vector[ENTRY_PRICE] = opens[bar]
                vector[ENTRY_EQUITY] = vector[CASH]
                vector[UNITS] = wanted * amount / opens[bar]
                vector[CASH] = vector[CASH] - wanted * amount - one_way * amount
        if vector[UNITS] != 0.0:
            vector[IN_MARKET] += 1.0
            # The end of the segment settles what is open; so does having lost everything.
            if bar == last - 1 or vector[CASH] + vector[UNITS] * closes[bar] <= 0.0:
                count = _close_compiled(vector, trades, count, bar, closes[bar], one_way)
        equity[bar - begin] = vector[CASH] + vector[UNITS] * closes[bar]
    return count


# nogil: a worker's heartbeat thread goes on during a long chunk.
_advance_compiled: Any = numba.njit(cache=True, nogil=True)(_advance)


def run(
    bars: Prices,
    targets: Targets,
    first: int,
    last: int,
    costs: Costs,
    state: SimulationState,
    max_bars: int = CHUNK,
) -> SimulationState:
    """Simulate at most `max_bars` more bars of the segment [first, last).

    `targets` (n,) holds -1, 0 or 1, decided at each bar's close; `bars` has n bars. The whole equity
    is traded; a position is kept, not rebalanced, while its target stays. The segment begins flat:
    its first fill is at the open of bar first + 1. An open position is closed at the last close.

    In how many calls the segment is simulated changes no bit of the result. It is done when
    `state.bar == last`. Raises ValueError on a price that is not a positive number, on a target that
    is not -1, 0 or 1, and on a state that does not belong to the segment.
    """
    _check_segment(bars, targets, first, last, state)
    begin = state.bar
    end = min(last, begin + max(0, max_bars))
    _check_chunk(bars, targets, begin, end)
    vector = np.array(
        [
            state.cash,
            state.units,
            state.entry_bar,
            state.entry_price,
            state.entry_equity,
            state.bars_in_market,
            state.ruined,
        ],
        dtype=np.float64,
    )
    trades = np.empty((end - begin + 1, TRADE_COLUMNS))
    equity = np.empty(end - begin)
    count = _advance_compiled(
        bars.open, bars.close, targets, first, last, begin, end, costs.one_way, vector, trades, equity
    )
    return SimulationState(
        bar=end,
        cash=float(vector[CASH]),
        units=float(vector[UNITS]),
        entry_bar=int(vector[ENTRY_BAR]),
        entry_price=float(vector[ENTRY_PRICE]),
        entry_equity=float(vector[ENTRY_EQUITY]),
        bars_in_market=int(vector[IN_MARKET]),
        ruined=bool(vector[RUINED]),
        trades=np.concatenate([state.trades, trades[:count]]),
        equity=np.concatenate([state.equity, equity]),
    )


def simulate(bars: Prices, targets: Targets, first: int, last: int, costs: Costs) -> SimulationState:
    """The whole segment [first, last) from its beginning."""
    return run(bars, targets, first, last, costs, SimulationState.start(first), last - first)


def _check_segment(bars: Prices, targets: Targets, first: int, last: int, state: SimulationState) -> None:
    n = len(bars.close)
    if not len(bars.open) == len(targets) == n:
        raise ValueError(
            f"{len(bars.open)} opens, {n} closes and {len(targets)} targets are not the same bars"
        )
    if not 0 <= first < last <= n:
        raise ValueError(f"the segment [{first}, {last}) does not lie in {n} bars")
    if not first <= state.bar <= last or state.first != first:
        raise ValueError(
            f"a state from bar {state.first} to {state.bar} does not belong to the segment [{first}, {last})"
        )


def _check_chunk(bars: Prices, targets: Targets, begin: int, end: int) -> None:
    for name, values in (("open", bars.open[begin:end]), ("close", bars.close[begin:end])):
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
        if len(bad):
            at = int(bad[0])
            raise ValueError(f"the {name} of bar {begin + at} is {values[at]}: not a positive number")
    decided = targets[max(0, begin - 1) : end]
    if len(decided) and (decided.min() < -1 or decided.max() > 1):
        raise ValueError(f"targets between bars {begin} and {end} are not all -1, 0 or 1")
