"""What a simulation knows between two bars: all of it, so that it can go on from any bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ktrdr.backtesting.prices import Floats
from ktrdr.backtesting.rules import Rules

# The account, (5,): money in no position, the money it began with, bars with a position, positions
# now, and whether it lost everything.
CASH, CAPITAL, IN_MARKET, HELD, RUINED = range(5)
ACCOUNT_COLUMNS = 5

# A position, one row a symbol: its own money beside its units (what a short was paid, less costs),
# units (below zero: short), bar and price of the entry, the equity committed and the fee paid to
# enter, the best price since, the direction that was stopped out and waits for another target, and
# how many bars the next entry is still away.
(
    POCKET,
    UNITS,
    ENTRY_BAR,
    ENTRY_PRICE,
    COMMITTED,
    ENTRY_FEE,
    BEST,
    BLOCKED,
    WAIT,
) = range(9)
POSITION_COLUMNS = 9

# A closed trade, one row each; the names of `Trade`.
(
    SYMBOL,
    TRADE_ENTRY_BAR,
    TRADE_EXIT_BAR,
    DIRECTION,
    TRADE_ENTRY_PRICE,
    TRADE_EXIT_PRICE,
    TRADE_UNITS,
    FEE,
    PNL,
    RETURN,
    REASON,
) = range(11)
TRADE_COLUMNS = 11

REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "end", "ruined")
NO_TRADES = np.empty((0, TRADE_COLUMNS))
NO_EQUITY = np.empty(0)
_SHAPES: Mapping[str, tuple[int, ...]] = {
    "account": (ACCOUNT_COLUMNS,),
    "positions": (-1, POSITION_COLUMNS),
    "trades": (-1, TRADE_COLUMNS),
    "equity": (-1,),
}


@dataclass(frozen=True)
class Trade:
    """One closed position. `fee` (both sides) and `pnl` are in money, `pnl` and `return_` after all costs.

    `return_` is a fraction of the equity that was committed, `symbol` an index into the symbols, and
    `units` are below zero of a short.
    """

    symbol: int
    entry_bar: int
    exit_bar: int
    direction: int
    entry_price: float
    exit_price: float
    units: float
    fee: float
    pnl: float
    return_: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class SimulationState:
    """The simulation before it has looked at bar `bar`.

    `trades` is (k, 11), one closed trade a row in the order of closing; `equity` (m,) holds the worth
    at the close of every bar so far; `account` and `positions` are as the columns above. Two states
    are the same when their `to_bytes` is.
    """

    bar: int
    account: Floats
    positions: Floats
    trades: Floats = field(default_factory=NO_TRADES.copy)
    equity: Floats = field(default_factory=NO_EQUITY.copy)

    @classmethod
    def start(cls, first: int, rules: Rules | None = None, symbols: int = 1) -> SimulationState:
        """Nothing but cash, before bar `first`."""
        capital = (rules or Rules()).capital
        account = np.array([capital, capital, 0.0, 0.0, 0.0])
        positions = np.zeros((symbols, POSITION_COLUMNS))
        positions[:, ENTRY_BAR] = -1.0
        return cls(first, account, positions)

    @property
    def first(self) -> int:
        """The bar at which this simulation began."""
        return self.bar - len(self.equity)

    @property
    def capital(self) -> float:
        """The money it began with."""
        return float(self.account[CAPITAL])

    @property
    def cash(self) -> float:
        """Money that is in no position."""
        return float(self.account[CASH])

    @property
    def bars_in_market(self) -> int:
        """Bars that had a position after the fills at their open."""
        return int(self.account[IN_MARKET])

    @property
    def held(self) -> int:
        """How many positions are open."""
        return int(self.account[HELD])

    @property
    def ruined(self) -> bool:
        return bool(self.account[RUINED])

    def trade_list(self) -> list[Trade]:
        return [_trade(row) for row in self.trades.tolist()]

    def to_bytes(self) -> bytes:
        """Exact, as safetensors; equal states give equal bytes."""
        arrays = {name: np.ascontiguousarray(getattr(self, name), dtype=np.float64) for name in _SHAPES}
        return save({**arrays, "bar": np.array([self.bar], dtype=np.int64)})

    @classmethod
    def from_bytes(cls, content: bytes) -> SimulationState:
        """Raises ValueError when `content` is not what `to_bytes` wrote."""
        try:
            found = load(content)
            arrays = {name: np.array(found[name], dtype=np.float64) for name in _SHAPES}
            bar = int(found["bar"][0])
        except SafetensorError as wrong:
            raise ValueError(f"not a simulation state: {wrong}") from wrong
        except KeyError as missing:
            raise ValueError(f"a simulation state without {missing}") from missing
        for name, shape in _SHAPES.items():
            wrong_size = any(
                want not in (-1, have) for want, have in zip(shape, arrays[name].shape, strict=False)
            )
            if arrays[name].ndim != len(shape) or wrong_size:
                raise ValueError(f"a simulation state whose {name} have the shape {arrays[name].shape}")
        return cls(bar, **arrays)


def _trade(row: list[float]) -> Trade:
    symbol, entered, left, side = (int(value) for value in row[:TRADE_ENTRY_PRICE])
    paid, got, units, fee, pnl, part, why = row[TRADE_ENTRY_PRICE:]
    return Trade(symbol, entered, left, side, paid, got, units, fee, pnl, part, REASONS[int(why)])
