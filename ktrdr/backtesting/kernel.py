"""The simulation of a segment, in as many calls as one likes. What happens within a bar: `loop`."""

from __future__ import annotations

import numpy as np

from ktrdr.backtesting.loop import advance
from ktrdr.backtesting.portfolio import TRADE_COLUMNS, SimulationState
from ktrdr.backtesting.prices import Panel, Prices, Targets
from ktrdr.backtesting.rules import Rules
from ktrdr.backtesting.terms import terms_of

CHUNK = 100_000  # some milliseconds
ROOM = 4096  # bars whose trades fit into one buffer, whatever they are


def run(
    bars: Prices,
    targets: Targets,
    first: int,
    last: int,
    rules: Rules,
    state: SimulationState,
    max_bars: int = CHUNK,
) -> SimulationState:
    """Simulate at most `max_bars` more bars of the segment [first, last).

    `targets` holds -1, 0 or 1, decided at each bar's close: (n,) for the bars of one symbol, (n, s) for
    a panel. The segment begins flat: its first fill is at the open of bar first + 1.

    In how many calls the segment is simulated changes no bit of the result. It is done when
    `state.bar == last`. Raises ValueError on a price that is not a positive number, on a target that
    is not -1, 0 or 1, and on a state that does not belong to the segment.
    """
    panel = _panel(bars)
    wanted = targets.reshape(len(targets), -1)
    _check_segment(panel, wanted, first, last, state)
    begin = state.bar
    end = min(last, begin + max(0, max_bars))
    _check_chunk(panel, wanted, begin, end, rules)
    decided = np.ascontiguousarray(wanted if rules.shorts else np.maximum(wanted, 0), dtype=np.int8)
    account, positions = state.account.copy(), state.positions.copy()
    equity = np.empty(end - begin)
    parts, bar = [state.trades], begin
    while bar < end:
        room = np.empty((2 * panel.close.shape[1] * (min(ROOM, end - bar) + 1), TRADE_COLUMNS))
        done, count = advance(
            panel.open,
            panel.high,
            panel.low,
            panel.close,
            panel.present,
            decided,
            first,
            last,
            bar,
            end,
            terms_of(rules),
            account,
            positions,
            room,
            equity[bar - begin :],
        )
        parts.append(room[:count])
        bar = int(done)
    whole = np.concatenate([state.equity, equity]) if len(state.equity) else equity
    return SimulationState(end, account, positions, np.concatenate(parts), whole)


def simulate(bars: Prices, targets: Targets, first: int, last: int, rules: Rules) -> SimulationState:
    """The whole segment [first, last) from its beginning."""
    symbols = 1 if targets.ndim == 1 else targets.shape[1]
    state = SimulationState.start(first, rules, symbols)
    return run(bars, targets, first, last, rules, state, last - first)


def _panel(bars: Prices) -> Panel:
    """What the loop reads, as columns."""
    if isinstance(bars, Panel):
        return bars
    opens, highs, lows, closes = (
        np.ascontiguousarray(one, dtype=np.float64).reshape(-1, 1)
        for one in (bars.open, bars.high, bars.low, bars.close)
    )
    present = np.ones((len(closes), 1), dtype=np.bool_)
    return Panel(np.empty(0, dtype=np.int64), opens, highs, lows, closes, present, bars.per_year)


def _check_segment(panel: Panel, targets: Targets, first: int, last: int, state: SimulationState) -> None:
    n, symbols = panel.close.shape
    lengths = {len(panel.open), len(panel.high), len(panel.low), n, len(targets)}
    if len(lengths) > 1:
        raise ValueError(
            f"{len(panel.open)} opens, {n} closes and {len(targets)} targets are not the same bars"
        )
    if not targets.shape[1] == symbols == len(state.positions):
        raise ValueError(
            f"{symbols} symbols, targets of {targets.shape[1]} and a state of {len(state.positions)}"
        )
    if not 0 <= first < last <= n:
        raise ValueError(f"the segment [{first}, {last}) does not lie in {n} bars")
    if not first <= state.bar <= last or state.first != first:
        raise ValueError(
            f"a state from bar {state.first} to {state.bar} does not belong to the segment [{first}, {last})"
        )


def _check_chunk(panel: Panel, targets: Targets, begin: int, end: int, rules: Rules) -> None:
    for name in ("open", "close", *(("high", "low") if rules.stops else ())):
        values = getattr(panel, name)[begin:end]
        if len(values) and not (values.min() > 0.0 and values.max() < np.inf):
            at = int(np.flatnonzero(~((values > 0.0) & (values < np.inf)).all(axis=1))[0])
            raise ValueError(f"the {name} of bar {begin + at} is {values[at].min()}: not a positive number")
    decided = targets[max(0, begin - 1) : end]
    if len(decided) and (decided.min() < -1 or decided.max() > 1):
        raise ValueError(f"targets between bars {begin} and {end} are not all -1, 0 or 1")
