"""Rules as the compiled loop takes them."""

from __future__ import annotations

from typing import NamedTuple

from ktrdr.backtesting.rules import Rules


class Terms(NamedTuple):
    """Rules as the compiled loop takes them; a stop of 0 is none."""

    fee: float
    slippage: float
    fraction: float
    stop_loss: float
    take_profit: float
    trailing_stop: float
    separation: float


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
    )
