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

from typing import Any, NamedTuple

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
from ktrdr.backtesting.rules import Rules

SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, END, RUIN = (float(number) for number in range(6))


class Terms(NamedTuple):
    """Rules as the compiled loop takes them; a stop of 0 is none."""

    fee: float
    slippage: float
    fraction: float
    stop_loss: float
    take_profit: float
    trailing_stop: float
    separation: float
    shorts: float


def terms_of(rules: Rules) -> Terms:
    """The rules without a None."""
    return Terms(
        rules.fee,
        rules.slippage,
        rules.fraction,
        rules.stop_loss or 0.0,
        rules.take_profit or 0.0,
        rules.trailing_stop or 0.0,
        float(rules.min_separation),
        1.0 if rules.shorts else 0.0,
    )


def _close(
    account: Floats,
    position: Floats,
    trade: Floats,
    symbol: int,
    bar: int,
    price: float,
    reason: float,
    terms: Terms,
) -> None:
    """Sell what is held (buy back what was sold) at a price before slippage, and write the trade down."""
    units = position[UNITS]
    side = 1.0 if units > 0.0 else -1.0
    fill = price * (1.0 - side * terms.slippage)
    amount = units * fill
    fee = terms.fee * abs(amount)
    left = position[POCKET] + amount - fee
    account[HELD] -= 1.0
    # Losses beyond the equity are a broker's, not ours: the account ends at nothing.
    if account[HELD] == 0.0 and account[CASH] + left <= 0.0:
        left = -account[CASH]
        account[RUINED] = 1.0
    account[CASH] += left
    pnl = left - position[COMMITTED]
    trade[0] = symbol
    trade[1] = position[ENTRY_BAR]
    trade[2] = bar
    trade[3] = side
    trade[4] = position[ENTRY_PRICE]
    trade[5] = fill
    trade[6] = units
    trade[7] = position[ENTRY_FEE] + fee
    trade[8] = pnl
    trade[9] = pnl / position[COMMITTED]
    trade[10] = reason
    position[POCKET] = 0.0
    position[UNITS] = 0.0


_close_compiled: Any = numba.njit(cache=True, nogil=True)(_close)


def _worth(account: Floats, positions: Floats, prices: Floats) -> float:
    """Cash and what is held, at these prices."""
    total = account[CASH]
    for symbol in range(len(prices)):
        if positions[symbol, UNITS] != 0.0:
            total += positions[symbol, POCKET] + positions[symbol, UNITS] * prices[symbol]
    return float(total)


_worth_compiled: Any = numba.njit(cache=True, nogil=True)(_worth)


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
    for symbol in range(len(prices)):
        if positions[symbol, UNITS] != 0.0:
            _close_compiled(
                account, positions[symbol], trades[count], symbol, bar, prices[symbol], reason, terms
            )
            count += 1
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
    symbols = len(opens)
    if account[HELD] > 0.0 and _worth_compiled(account, positions, opens) <= 0.0:
        return int(_settle_compiled(account, positions, trades, count, bar, opens, RUIN, terms))
    wants = False
    for symbol in range(symbols):
        if not present[symbol]:
            continue
        position = positions[symbol]
        if position[WAIT] > 0.0:
            position[WAIT] -= 1.0
        wanted = float(targets[symbol])
        if wanted < 0.0 and terms.shorts == 0.0:
            wanted = 0.0
        if position[BLOCKED] != wanted:
            position[BLOCKED] = 0.0
        if position[UNITS] * wanted <= 0.0:  # flat, or not what is wanted
            if position[UNITS] != 0.0:
                _close_compiled(account, position, trades[count], symbol, bar, opens[symbol], SIGNAL, terms)
                count += 1
            wants = wants or (wanted != 0.0 and position[BLOCKED] == 0.0 and position[WAIT] == 0.0)
    if not wants or account[RUINED] > 0.0:
        return count
    share = _worth_compiled(account, positions, opens) / symbols * terms.fraction
    for symbol in range(symbols):
        position = positions[symbol]
        wanted = float(targets[symbol])
        if wanted < 0.0 and terms.shorts == 0.0:
            wanted = 0.0
        if not present[symbol] or wanted == 0.0 or position[UNITS] != 0.0:
            continue
        committed = min(share, account[CASH])
        if position[BLOCKED] != 0.0 or position[WAIT] > 0.0 or committed <= 0.0:
            continue
        # Sized so that the amount and its fee together are what is committed.
        amount = committed / (1.0 + terms.fee)
        fill = opens[symbol] * (1.0 + wanted * terms.slippage)
        position[POCKET] = committed - wanted * amount - terms.fee * amount
        position[UNITS] = wanted * amount / fill
        position[ENTRY_BAR] = bar
        position[ENTRY_PRICE] = fill
        position[COMMITTED] = committed
        position[ENTRY_FEE] = terms.fee * amount
        position[BEST] = fill
        position[WAIT] = terms.separation
        account[CASH] -= committed
        account[HELD] += 1.0
    return count


_trade_at_open_compiled: Any = numba.njit(cache=True, nogil=True)(_trade_at_open)


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
    for symbol in range(len(opens)):
        position = positions[symbol]
        if position[UNITS] == 0.0 or not present[symbol]:
            continue
        side = 1.0 if position[UNITS] > 0.0 else -1.0
        worst, best = (lows[symbol], highs[symbol]) if side > 0.0 else (highs[symbol], lows[symbol])
        # Prices times `side` rise with our luck, of a short too.
        level, reason = -np.inf, STOP_LOSS
        if terms.stop_loss > 0.0:
            level = side * (position[ENTRY_PRICE] * (1.0 - side * terms.stop_loss))
        if terms.trailing_stop > 0.0:
            trailing = side * (position[BEST] * (1.0 - side * terms.trailing_stop))
            if trailing > level:
                level, reason = trailing, TRAILING_STOP
        profit = np.inf
        if terms.take_profit > 0.0:
            profit = side * (position[ENTRY_PRICE] * (1.0 + side * terms.take_profit))
        opened = side * opens[symbol]
        price = 0.0
        if opened <= level or opened >= profit:
            price = opens[symbol]
            if opened > level:
                reason = TAKE_PROFIT
        elif side * worst <= level:
            price = side * level
        elif side * best >= profit:
            price, reason = side * profit, TAKE_PROFIT
        if price > 0.0:
            _close_compiled(account, position, trades[count], symbol, bar, price, reason, terms)
            position[BLOCKED] = side
            count += 1
        elif side * best > side * position[BEST]:
            position[BEST] = best
    return count


_stop_within_compiled: Any = numba.njit(cache=True, nogil=True)(_stop_within)


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
    count, most = 0, len(trades) - 2 * opens.shape[1]
    stops = terms.stop_loss > 0.0 or terms.take_profit > 0.0 or terms.trailing_stop > 0.0
    for bar in range(begin, end):
        if count > most:
            return bar, count
        if bar > first and account[RUINED] == 0.0:
            count = _trade_at_open_compiled(
                account, positions, trades, count, bar, opens[bar], present[bar], targets[bar - 1], terms
            )
        worth = account[CASH]
        if account[HELD] > 0.0:
            account[IN_MARKET] += 1.0
            if stops:
                count = _stop_within_compiled(
                    account,
                    positions,
                    trades,
                    count,
                    bar,
                    opens[bar],
                    highs[bar],
                    lows[bar],
                    present[bar],
                    terms,
                )
            worth = _worth_compiled(account, positions, closes[bar])
            # The end of the segment settles what is open; so does having lost everything.
            if account[HELD] > 0.0 and (bar == last - 1 or worth <= 0.0):
                why = END if worth > 0.0 else RUIN
                count = _settle_compiled(account, positions, trades, count, bar, closes[bar], why, terms)
                worth = account[CASH]
        equity[bar - begin] = worth
    return end, count


# nogil: a worker's heartbeat thread goes on during a long chunk. All of it is in this module, as a
# cached function does not notice a change of one that it calls in another.
advance: Any = numba.njit(cache=True, nogil=True)(_advance)
