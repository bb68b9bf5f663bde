"""The simulation: targets decided at a close, filled at the next open; stops filled within a bar.

The loop cannot look ahead: the fills at the open of bar t read `targets[t - 1]` and `open[t]`, the
stops of bar t read levels from before it and its open, high and low, the valuation reads `close[t]`,
and nothing else is read.

One bar, in this order (a symbol that has no bar here does none of the fills, and is valued at its last
close):

1. At the open. If the account is worth nothing any more, everything is closed and it never trades
   again. Positions whose target has changed are closed ("signal"), in the order of the symbols. Then
   the equity is looked at once, and in the same order each symbol that is flat and has a target buys
   or sells short equity / symbols · fraction, or what cash there is if that is less; the fee is within
   that amount. A position whose target stays is kept as it is, not rebalanced. Every price is moved by
   the slippage against us; the fee is of the amount at that price.
2. Within the bar, after the fills at its open, also for what was opened at it:
   an open at or beyond a stop's level, or at or beyond the profit's, fills at the open (a gap);
   else a stop that the bar's range reaches fills at its level; else so does a profit.
   So when one bar reaches both, the stop is taken, the worse. Of a stop-loss and a trailing stop the
   nearer one acts. The trailing level follows the best price since the entry, which is the entry's
   own price at first and is moved by the bar's high (of a short: low) only after the bar.
3. After the bar's range, at its close: the last bar closes what is open ("end"), of a symbol without
   a bar at its last close; so does having lost everything ("ruined").

A symbol that was closed by its stop or its profit does not enter again before its target has changed.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.portfolio import (
    BEST,
    BLOCKED,
    CASH,
    COMMITTED,
    ENTRY_BAR,
    ENTRY_FEE,
    ENTRY_PRICE,
    HELD,
    IN_MARKET,
    POCKET,
    RUINED,
    UNITS,
    WAIT,
)
from ktrdr.backtesting.prices import Floats, Targets
from ktrdr.backtesting.terms import Terms

SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, END, RUIN = (float(number) for number in range(6))


def _close(
    account: Floats,
    positions: Floats,
    trades: Floats,
    count: int,
    symbol: int,
    bar: int,
    price: float,
    reason: float,
    terms: Terms,
) -> int:
    """Sell what is held (buy back what was sold) at a price before slippage, and write the trade down.

    Returns how many trades there are then."""
    units = positions[symbol, UNITS]
    side = 1.0 if units > 0.0 else -1.0
    fill = price * (1.0 - side * terms.slippage)
    amount = units * fill
    fee = terms.fee * abs(amount)
    left = positions[symbol, POCKET] + amount - fee
    account[HELD] -= 1.0
    # Losses beyond the equity are a broker's, not ours: the account ends at nothing.
    if account[HELD] == 0.0 and account[CASH] + left <= 0.0:
        left = -account[CASH]
        account[RUINED] = 1.0
    account[CASH] += left
    pnl = left - positions[symbol, COMMITTED]
    trades[count, 0] = symbol
    trades[count, 1] = positions[symbol, ENTRY_BAR]
    trades[count, 2] = bar
    trades[count, 3] = side
    trades[count, 4] = positions[symbol, ENTRY_PRICE]
    trades[count, 5] = fill
    trades[count, 6] = units
    trades[count, 7] = positions[symbol, ENTRY_FEE] + fee
    trades[count, 8] = pnl
    trades[count, 9] = pnl / positions[symbol, COMMITTED]
    trades[count, 10] = reason
    positions[symbol, POCKET] = 0.0
    positions[symbol, UNITS] = 0.0
    return count + 1


# nogil: a worker's heartbeat thread goes on during a long chunk. Inlined: a call that passes all these
# arrays costs more than the work on a bar. All of it is in one module, as a cached function does not
# notice a change of one that it calls in another.
_close_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_close)


def _worth(account: Floats, positions: Floats, prices: Floats, bar: int) -> float:
    """Cash and what is held, at the prices of a bar."""
    total = account[CASH]
    for symbol in range(len(positions)):
        if positions[symbol, UNITS] != 0.0:
            total += positions[symbol, POCKET] + positions[symbol, UNITS] * prices[bar, symbol]
    return float(total)


_worth_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_worth)


def _at_rest(positions: Floats, targets: Targets, bar: int) -> bool:
    """Whether every symbol is where its target wants it: so it is at most bars."""
    for symbol in range(len(positions)):
        units = positions[symbol, UNITS]
        held = 1 if units > 0.0 else (-1 if units < 0.0 else 0)
        if held != targets[bar - 1, symbol]:
            return False
    return True


_at_rest_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_at_rest)


def _stirs(account: Floats, positions: Floats, targets: Targets, bar: int, opens: Floats, held: bool) -> bool:
    """Whether a bar's open changes anything: a target, or the end of the account."""
    if not _at_rest_compiled(positions, targets, bar):
        return True
    return held and _worth_compiled(account, positions, opens, bar) <= 0.0


_stirs_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_stirs)


def _waiting(positions: Floats) -> bool:
    """Whether a symbol counts the bars to its next entry, or waits for another target."""
    for symbol in range(len(positions)):
        if positions[symbol, WAIT] > 0.0 or positions[symbol, BLOCKED] != 0.0:
            return True
    return False


_waiting_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_waiting)


def _settle(
    account: Floats,
    positions: Floats,
    trades: Floats,
    count: int,
    bar: int,
    prices: Floats,
    reason: float,
    terms: Terms,
) -> int:
    """Close everything, and return the number of trades."""
    for symbol in range(len(positions)):
        if positions[symbol, UNITS] != 0.0:
            price = prices[bar, symbol]
            count = _close_compiled(account, positions, trades, count, symbol, bar, price, reason, terms)
    if reason == RUIN:
        account[CASH] = 0.0
        account[RUINED] = 1.0
    return count


_settle_compiled: Any = numba.njit(cache=True, nogil=True)(_settle)


def _trade_at_open(
    account: Floats,
    positions: Floats,
    trades: Floats,
    count: int,
    bar: int,
    opens: Floats,
    present: NDArray[np.bool_],
    targets: Targets,
    terms: Terms,
) -> int:
    """The fills at a bar's open: all exits, then all entries."""
    symbols = len(positions)
    if account[HELD] > 0.0 and _worth_compiled(account, positions, opens, bar) <= 0.0:
        return int(_settle_compiled(account, positions, trades, count, bar, opens, RUIN, terms))
    wants = False
    for symbol in range(symbols):
        if not present[bar, symbol]:
            continue
        if positions[symbol, WAIT] > 0.0:
            positions[symbol, WAIT] -= 1.0
        wanted = float(targets[bar - 1, symbol])
        if positions[symbol, BLOCKED] != wanted:
            positions[symbol, BLOCKED] = 0.0
        if positions[symbol, UNITS] * wanted <= 0.0:  # flat, or not what is wanted
            if positions[symbol, UNITS] != 0.0:
                price = opens[bar, symbol]
                count = _close_compiled(account, positions, trades, count, symbol, bar, price, SIGNAL, terms)
            wants = wants or (
                wanted != 0.0 and positions[symbol, BLOCKED] == 0.0 and positions[symbol, WAIT] == 0.0
            )
    if not wants or account[RUINED] > 0.0:
        return count
    share = _worth_compiled(account, positions, opens, bar) / symbols * terms.fraction
    for symbol in range(symbols):
        wanted = float(targets[bar - 1, symbol])
        if not present[bar, symbol] or wanted == 0.0 or positions[symbol, UNITS] != 0.0:
            continue
        committed = min(share, account[CASH])
        if positions[symbol, BLOCKED] != 0.0 or positions[symbol, WAIT] > 0.0 or committed <= 0.0:
            continue
        # Sized so that the amount and its fee together are what is committed.
        amount = committed / (1.0 + terms.fee)
        fill = opens[bar, symbol] * (1.0 + wanted * terms.slippage)
        positions[symbol, POCKET] = committed - wanted * amount - terms.fee * amount
        positions[symbol, UNITS] = wanted * amount / fill
        positions[symbol, ENTRY_BAR] = bar
        positions[symbol, ENTRY_PRICE] = fill
        positions[symbol, COMMITTED] = committed
        positions[symbol, ENTRY_FEE] = terms.fee * amount
        positions[symbol, BEST] = fill
        positions[symbol, WAIT] = terms.separation
        account[CASH] -= committed
        account[HELD] += 1.0
    return count


_trade_at_open_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_trade_at_open)


def _stop_within(
    account: Floats,
    positions: Floats,
    trades: Floats,
    count: int,
    bar: int,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    present: NDArray[np.bool_],
    terms: Terms,
) -> int:
    """What a bar's range closes, after the fills at its open."""
    for symbol in range(len(positions)):
        if positions[symbol, UNITS] == 0.0 or not present[bar, symbol]:
            continue
        side = 1.0 if positions[symbol, UNITS] > 0.0 else -1.0
        worst, best = (
            (lows[bar, symbol], highs[bar, symbol]) if side > 0.0 else (highs[bar, symbol], lows[bar, symbol])
        )
        # Prices times `side` rise with our luck, of a short too.
        level, reason = -np.inf, STOP_LOSS
        if terms.stop_loss > 0.0:
            level = side * (positions[symbol, ENTRY_PRICE] * (1.0 - side * terms.stop_loss))
        if terms.trailing_stop > 0.0:
            trailing = side * (positions[symbol, BEST] * (1.0 - side * terms.trailing_stop))
            if trailing > level:
                level, reason = trailing, TRAILING_STOP
        profit = np.inf
        if terms.take_profit > 0.0:
            profit = side * (positions[symbol, ENTRY_PRICE] * (1.0 + side * terms.take_profit))
        opened = side * opens[bar, symbol]
        price = 0.0
        if opened <= level or opened >= profit:
            price = opens[bar, symbol]
            if opened > level:
                reason = TAKE_PROFIT
        elif side * worst <= level:
            price = side * level
        elif side * best >= profit:
            price, reason = side * profit, TAKE_PROFIT
        if price > 0.0:
            count = _close_compiled(account, positions, trades, count, symbol, bar, price, reason, terms)
            positions[symbol, BLOCKED] = side
        elif side * best > side * positions[symbol, BEST]:
            positions[symbol, BEST] = best
    return count


_stop_within_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_stop_within)


def _quiet_stretch(
    opens: Floats,
    closes: Floats,
    targets: Targets,
    first: int,
    begin: int,
    end: int,
    account: Floats,
    positions: Floats,
    equity: Floats,
) -> int:
    """How many bars from `begin` on, of an account of one symbol, need nothing but a valuation.

    The same numbers in the same order as bar by bar, with the account in registers.
    """
    if len(positions) != 1 or account[RUINED] > 0.0:
        return 0
    bar = begin
    cash, pocket, units = account[CASH], positions[0, POCKET], positions[0, UNITS]
    side = 1 if units > 0.0 else (-1 if units < 0.0 else 0)
    while bar < end and (bar == first or targets[bar - 1, 0] == side):
        worth = cash
        if side != 0:
            worth = cash + (pocket + units * closes[bar, 0])
            if worth <= 0.0 or (bar > first and cash + (pocket + units * opens[bar, 0]) <= 0.0):
                break
        equity[bar - begin] = worth
        bar += 1
    return bar - begin


_quiet_stretch_compiled: Any = numba.njit(cache=True, nogil=True, inline="always")(_quiet_stretch)


def _advance(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    present: NDArray[np.bool_],
    targets: Targets,
    first: int,
    last: int,
    begin: int,
    end: int,
    terms: Terms,
    account: Floats,
    positions: Floats,
    trades: Floats,
    equity: Floats,
) -> tuple[int, int]:
    """Bars [begin, end) of the segment [first, last), or as many as `trades` has room for.

    `account` and `positions` are changed in place; returns the next bar and how many trades there are.
    """
    count, most, busy, bar = 0, len(trades) - 2 * opens.shape[1], 0.0, begin
    stops = terms.stop_loss > 0.0 or terms.take_profit > 0.0 or terms.trailing_stop > 0.0
    waiting, held = _waiting_compiled(positions), account[HELD] > 0.0
    while bar < end and count <= most:
        if not waiting and not (stops and held):
            until = min(end, last - 1)  # the last bar is never quiet
            quiet = _quiet_stretch_compiled(
                opens, closes, targets, first, bar, until, account, positions, equity[bar - begin :]
            )
            busy, bar = busy + (quiet if held else 0.0), bar + quiet
            if bar == end:
                break
        if bar > first and (waiting or _stirs_compiled(account, positions, targets, bar, opens, held)):
            count = _trade_at_open_compiled(
                account, positions, trades, count, bar, opens, present, targets, terms
            )
            waiting, held = _waiting_compiled(positions), account[HELD] > 0.0
        worth = account[CASH]
        if held:
            busy += 1.0
            if stops:
                count = _stop_within_compiled(
                    account, positions, trades, count, bar, opens, highs, lows, present, terms
                )
                waiting, held = _waiting_compiled(positions), account[HELD] > 0.0
            worth = _worth_compiled(account, positions, closes, bar)
            # The end of the segment settles what is open; so does having lost everything.
            if held and (bar == last - 1 or worth <= 0.0):
                why = END if worth > 0.0 else RUIN
                count = _settle_compiled(account, positions, trades, count, bar, closes, why, terms)
                worth, held = account[CASH], False
        equity[bar - begin] = worth
        bar += 1
    account[IN_MARKET] += busy
    return bar, count


advance: Any = numba.njit(cache=True, nogil=True)(_advance)
