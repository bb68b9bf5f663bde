"""Figures of the closed trades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.curves import Times
from ktrdr.backtesting.drawdowns import DAY_SECONDS
from ktrdr.backtesting.portfolio import (
    FEE,
    PNL,
    RETURN,
    TRADE_ENTRY_BAR,
    TRADE_ENTRY_PRICE,
    TRADE_EXIT_BAR,
    TRADE_EXIT_PRICE,
    TRADE_UNITS,
)
from ktrdr.backtesting.prices import Floats
from ktrdr.backtesting.returns import STILL

Figures = dict[str, float | int | str | None]


@dataclass(frozen=True, eq=False)
class TradeTable:
    """The closed trades as columns (k,): money after costs, fractions of the equity committed, bars.

    `begin` and `end` are when the bars of entry and exit open, seconds UTC: a trade that ends within the
    bar that it began in lasted no time.
    """

    pnl: Floats
    returns: Floats
    fees: Floats
    traded: Floats  # money bought and sold, both sides together
    bars: Times
    begin: Times
    end: Times

    @classmethod
    def of(cls, trades: Floats, time: Times) -> TradeTable:
        """Of a simulation's `trades` (k, columns), and when each bar that they name opens: `time` (n,)."""
        entry, leave = (trades[:, column].astype(np.int64) for column in (TRADE_ENTRY_BAR, TRADE_EXIT_BAR))
        prices = trades[:, TRADE_ENTRY_PRICE] + trades[:, TRADE_EXIT_PRICE]
        return cls(
            pnl=trades[:, PNL],
            returns=trades[:, RETURN],
            fees=trades[:, FEE],
            traded=np.abs(trades[:, TRADE_UNITS]) * prices,
            bars=leave - entry,
            begin=time[entry],
            end=time[leave],
        )


def trade_metrics(table: TradeTable, equity: Floats, per_year: float) -> Figures:
    """What the trades were worth, one by one and in a row. Sums of money are 0 without a trade, every
    mean, ratio and extreme is None.

    - `profit_factor`: money won over money lost; None when no trade lost.
    - `expectancy`: mean profit of a trade, in money; `expectancy_ratio` is the same in units of the
      average loss (Tharp 1998), None when no trade lost.
    - `average_trade`, `best_trade`, `worst_trade`, `average_win`, `average_loss`: fractions of the
      equity that was committed; `average_loss` is below zero.
    - streaks: trades in a row, in the order of closing; one that ends at nought ends both.
    - `turnover`: money bought and sold over the mean equity, times the share of a year; `equity` (m,) is
      the worth at each close, of m bars of which a year has `per_year`. 2 is once in and out a year.
    - `time_in_market_days`: days from entry to exit, where trades overlap counted once.
    """
    # What is won or lost by rounding alone is neither: a profit factor would be astronomic.
    won, lost = table.returns > STILL, table.returns < -STILL
    profit, loss = float(np.sum(table.pnl[won])), float(-np.sum(table.pnl[lost]))
    found: Figures = {
        "gross_profit": profit,
        "gross_loss": loss,
        "fees": float(np.sum(table.fees)),
        "time_in_market_days": _covered(table) / DAY_SECONDS,
        "profit_factor": profit / loss if loss > 0.0 else None,
        "expectancy": _mean(table.pnl),
        "expectancy_ratio": _mean(table.pnl / (loss / int(np.sum(lost)))) if loss > 0.0 else None,
        "average_win": _mean(table.returns[won]),
        "average_loss": _mean(table.returns[lost]),
        "average_trade": _mean(table.returns),
        "average_trade_bars": _mean(table.bars),
        "average_trade_seconds": _mean(table.end - table.begin),
    }
    some = len(table.pnl) > 0
    mean_equity = float(np.mean(equity))
    yearly = float(np.sum(table.traded)) / mean_equity * per_year / len(equity) if mean_equity > 0.0 else None
    return {
        **found,
        "best_trade": float(np.max(table.returns)) if some else None,
        "worst_trade": float(np.min(table.returns)) if some else None,
        "longest_winning_streak": _streak(won) if some else None,
        "longest_losing_streak": _streak(lost) if some else None,
        "longest_trade_bars": int(np.max(table.bars)) if some else None,
        "longest_trade_seconds": int(np.max(table.end - table.begin)) if some else None,
        "turnover": yearly if some else None,
    }


def _mean(values: Floats | Times) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _streak(hits: NDArray[np.bool_]) -> int:
    misses = np.concatenate([[-1], np.flatnonzero(~hits), [len(hits)]])
    return int(np.max(np.diff(misses))) - 1


def _covered(table: TradeTable) -> int:
    """Seconds that at least one trade covers."""
    order = np.argsort(table.begin, kind="stable")
    begin, end = table.begin[order], table.end[order]
    reached = np.maximum.accumulate(end)
    before = np.concatenate([begin[:1], reached[:-1]])
    return int(np.sum(np.maximum(0, reached - np.maximum(begin, before))))
