"""What a simulation knows between two bars: all of it, so that it can go on from any bar."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ktrdr.backtesting.prices import Floats

INITIAL_CASH = 100_000.0
TRADE_COLUMNS = 8  # entry_bar, exit_bar, direction, entry_price, exit_price, units, pnl, return
NO_TRADES = np.empty((0, TRADE_COLUMNS))
NO_EQUITY = np.empty(0)


@dataclass(frozen=True)
class Costs:
    """Fees, spread and slippage of getting in and out again, as a fraction of the amount traded."""

    round_trip: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.round_trip < 1.0:
            raise ValueError(f"round_trip costs are a fraction from 0 to below 1, not {self.round_trip}")

    @property
    def one_way(self) -> float:
        return self.round_trip / 2.0

    def doubled(self) -> Costs:
        return Costs(min(2.0 * self.round_trip, 0.999))


@dataclass(frozen=True)
class Trade:
    """One closed position. `pnl` is in money and `return_` a fraction of equity, both after costs."""

    entry_bar: int
    exit_bar: int
    direction: int
    entry_price: float
    exit_price: float
    units: float
    pnl: float
    return_: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class SimulationState:
    """The simulation before it has looked at bar `bar`.

    `trades` is (k, 8), one closed trade a row; `equity` holds the worth at the close of every bar so
    far. Two states are the same when their `to_json` is.
    """

    bar: int
    cash: float = INITIAL_CASH
    units: float = 0.0  # below zero: short
    entry_bar: int = -1
    entry_price: float = 0.0
    entry_equity: float = 0.0
    bars_in_market: int = 0
    ruined: bool = False
    trades: Floats = field(default_factory=NO_TRADES.copy)
    equity: Floats = field(default_factory=NO_EQUITY.copy)

    @classmethod
    def start(cls, first: int) -> SimulationState:
        """Nothing but cash, before bar `first`."""
        return cls(bar=first)

    @property
    def first(self) -> int:
        """The bar at which this simulation began."""
        return self.bar - len(self.equity)

    def trade_list(self) -> list[Trade]:
        return [
            Trade(int(row[0]), int(row[1]), int(row[2]), *(float(value) for value in row[3:]))
            for row in self.trades
        ]

    def to_json(self) -> dict[str, Any]:
        """Exact: Python writes floats so that they read back as the same bits."""
        return {
            "bar": self.bar,
            "cash": self.cash,
            "units": self.units,
            "entry_bar": self.entry_bar,
            "entry_price": self.entry_price,
            "entry_equity": self.entry_equity,
            "bars_in_market": self.bars_in_market,
            "ruined": self.ruined,
            "trades": _pack(self.trades),
            "equity": _pack(self.equity),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SimulationState:
        """Raises ValueError when `value` is not what `to_json` wrote."""
        try:
            return cls(
                bar=int(value["bar"]),
                cash=float(value["cash"]),
                units=float(value["units"]),
                entry_bar=int(value["entry_bar"]),
                entry_price=float(value["entry_price"]),
                entry_equity=float(value["entry_equity"]),
                bars_in_market=int(value["bars_in_market"]),
                ruined=bool(value["ruined"]),
                trades=_unpack(value["trades"]).reshape(-1, TRADE_COLUMNS),
                equity=_unpack(value["equity"]),
            )
        except KeyError as missing:
            raise ValueError(f"a simulation state without {missing}") from missing
        except TypeError as wrong:
            raise ValueError(f"a simulation state with a value of the wrong type: {wrong}") from wrong


def _pack(values: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def _unpack(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
