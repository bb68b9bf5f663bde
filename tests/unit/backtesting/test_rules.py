"""What a strategy's decisions are as rules."""

from __future__ import annotations

import copy
from typing import Any

from ktrdr.backtesting.rules import Rules, rules_of
from ktrdr.domain.strategies import parse_strategy
from tests.integration.strategies import SMALL


def decided(**decisions: Any) -> Rules:
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["decisions"] = {**config["decisions"], **decisions}
    return rules_of(parse_strategy(config))


def test_half_of_the_round_trip_is_paid_on_each_side_unless_a_fee_is_given() -> None:
    strategy = parse_strategy({**SMALL, "decisions": {"cost_model": {"round_trip_cost": 0.004}}})
    assert rules_of(strategy) == Rules(fee=0.002)
    given = rules_of(strategy, fee=0.0, slippage=0.001, capital=50.0)
    assert given == Rules(fee=0.0, slippage=0.001, capital=50.0)


def test_every_key_of_the_grammar_that_is_about_trading_is_a_rule() -> None:
    risk = {"stop_loss": 0.02, "take_profit": 0.06, "trailing_stop": 0.03, "position_fraction": 0.5}
    found = decided(
        cost_model={"round_trip_cost": 0.0},
        filters={"min_signal_separation": 4},
        risk={**risk, "shorts": False},
    )
    assert found == Rules(
        stop_loss=0.02, take_profit=0.06, trailing_stop=0.03, fraction=0.5, shorts=False, min_separation=4
    )


def test_what_is_left_out_is_all_in_long_and_short_without_stops() -> None:
    assert decided(cost_model={"round_trip_cost": 0.0}) == Rules()
