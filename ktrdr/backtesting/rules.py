"""On what terms a simulation trades: capital, costs, sizes and stops. All shares are fractions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ktrdr.domain.strategies import Filters, Risk, Strategy

HIGHEST_COST = 0.4995  # of each side; what doubling stops at


@dataclass(frozen=True)
class Rules:
    """Fractions, not per cent: a fee of 0.1 % is 0.001.

    `fee` is of the amount and `slippage` of the price, against us, both on each side. A new position is
    worth `fraction` of its symbol's equal share of the equity; 1.0 is all in. `stop_loss` and
    `take_profit` are of the entry price, `trailing_stop` is of the best price since the entry; None
    is none. A symbol's entries are at least `min_separation` of its bars apart.
    """

    capital: float = 100_000.0
    fee: float = 0.0
    slippage: float = 0.0
    fraction: float = 1.0
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    min_separation: int = 0
    shorts: bool = True

    def __post_init__(self) -> None:
        if not (self.capital > 0.0 and math.isfinite(self.capital)):
            raise ValueError(f"capital is an amount above 0, not {self.capital}")
        for name in ("fee", "slippage"):
            if not 0.0 <= getattr(self, name) < 0.5:
                raise ValueError(f"{name} is a fraction from 0 to below 0.5, not {getattr(self, name)}")
        if not 0.0 < self.fraction <= 1.0:
            raise ValueError(f"fraction lies above 0 and up to 1, not {self.fraction}")
        for name in ("stop_loss", "trailing_stop"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise ValueError(f"{name} is a fraction between 0 and 1, not {value}")
        if self.take_profit is not None and not (self.take_profit > 0.0 and math.isfinite(self.take_profit)):
            raise ValueError(f"take_profit is a fraction above 0, not {self.take_profit}")
        if self.min_separation < 0:
            raise ValueError(f"min_separation is a number of bars from 0 on, not {self.min_separation}")

    @property
    def stops(self) -> bool:
        """Whether the range of a bar can close a position."""
        return any(one is not None for one in (self.stop_loss, self.take_profit, self.trailing_stop))

    def doubled(self) -> Rules:
        """The same at twice the costs."""
        return replace(
            self,
            fee=min(2.0 * self.fee, HIGHEST_COST),
            slippage=min(2.0 * self.slippage, HIGHEST_COST),
        )


def rules_of(
    strategy: Strategy, *, capital: float | None = None, fee: float | None = None, slippage: float = 0.0
) -> Rules:
    """What a strategy's decisions say; without a fee, half of its round trip's cost is paid on each side."""
    decisions = strategy.decisions
    filters, risk = decisions.filters or Filters(), decisions.risk or Risk()
    rules = Rules(
        fee=decisions.cost_model.round_trip_cost / 2.0 if fee is None else fee,
        slippage=slippage,
        fraction=1.0 if risk.position_fraction is None else risk.position_fraction,
        stop_loss=risk.stop_loss,
        take_profit=risk.take_profit,
        trailing_stop=risk.trailing_stop,
        min_separation=filters.min_signal_separation or 0,
        shorts=risk.shorts is not False,
    )
    return rules if capital is None else replace(rules, capital=capital)
