"""A model is shown bars only as the strategy that it was trained for describes them."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import Strategy, parse_strategy, strategy_sha256
from ktrdr.training.compatibility import check_model
from tests.integration.strategies import SMALL

TRAINED = parse_strategy(SMALL)
MODEL = {"features": list(TRAINED.features()), "strategy_sha256": strategy_sha256(TRAINED)}


def refused(strategy: Strategy) -> str:
    with pytest.raises(StepFailed) as error:
        check_model(MODEL, strategy)
    assert error.value.step_code == "MODEL_MISMATCH"
    return error.value.message


def changed(**parts: Any) -> Strategy:
    return parse_strategy({**SMALL, **parts})


def test_the_strategy_that_was_trained_is_let_through() -> None:
    check_model(MODEL, parse_strategy(TRAINED.to_config()))


def test_missing_and_surplus_features_are_both_named() -> None:
    sets = {"rsi_state": {"indicator": "rsi_14", "low": [0, 25, 45], "top": [55, 75, 100]}}
    inputs = [{"fuzzy_set": "rsi_state", "timeframes": "all"}]
    said = refused(changed(fuzzy_sets=sets, nn_inputs=inputs))
    assert "missing, which it was trained on: 1d_rsi_state_high, 1d_roc_state_down, 1d_roc_state_up;" in said
    assert "surplus, which it never saw: 1d_rsi_state_top." in said
    assert "order" not in said


def test_the_same_features_in_another_order_are_named_by_place() -> None:
    """A network takes its inputs by place, so an order is as wrong as another feature."""
    said = refused(changed(nn_inputs=SMALL["nn_inputs"][::-1]))
    assert "in another order: feature 1 is 1d_roc_state_down, not 1d_rsi_state_low, 2 is" in said


def test_a_change_that_no_name_shows_is_refused_too() -> None:
    """Other points of a membership are other values under the same name."""
    sets = {
        **SMALL["fuzzy_sets"],
        "roc_state": {"indicator": "roc_10", "down": [-9, -5, 0], "up": [0, 5, 20]},
    }
    assert "its features have the same names" in refused(changed(fuzzy_sets=sets))
