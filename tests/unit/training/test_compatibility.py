"""A model is shown bars only as the strategy that it was trained for describes them."""

from __future__ import annotations

from typing import Any

import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.strategies import (
    NOT_LEARNT,
    Strategy,
    is_learnt,
    learnt_sha256,
    parse_strategy,
    strategy_sha256,
)
from ktrdr.training.compatibility import check_model
from ktrdr.training.loop import train
from ktrdr.training.problem import build_problem
from tests.integration.strategies import SMALL
from tests.markets import daily

TRAINED = parse_strategy(SMALL)
MODEL = {
    "features": list(TRAINED.features()),
    "strategy_sha256": strategy_sha256(TRAINED),
    "learnt_sha256": learnt_sha256(TRAINED),
}
TRADED: dict[str, Any] = {
    "name": "another",
    "description": "trades otherwise",
    "decisions": {
        **SMALL["decisions"],
        "confidence_threshold": 0.5,
        "position_awareness": True,
        "cost_model": {"round_trip_cost": 0.01, "min_edge_multiplier": 2.0},
        "filters": {"min_signal_separation": 3, "volume_filter": True},
        "risk": {"stop_loss": 0.05, "shorts": False},
    },
}


def refused(strategy: Strategy) -> str:
    with pytest.raises(StepFailed) as error:
        check_model(MODEL, strategy)
    assert error.value.step_code == "MODEL_MISMATCH"
    return error.value.message


def learnt(strategy: Strategy) -> dict[str, bytes]:
    """The weights after two epochs."""
    training = {**strategy.to_config()["training"], "epochs": 2}
    short = parse_strategy({**strategy.to_config(), "training": training})
    problem = build_problem(daily(load_development(Catalog(None), "nasdaq")), short, seed=1)
    trained = train(problem, None, lambda *_: True)
    assert trained is not None
    return {name: one.numpy().tobytes() for name, one in trained.tensors.items()}


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


def test_a_strategy_that_trades_otherwise_is_let_through() -> None:
    """A model of an earlier ktrdr does not say what it learnt: for that the whole strategy counts."""
    check_model(MODEL, changed(**TRADED))
    with pytest.raises(StepFailed, match="trained for another strategy"):
        check_model({name: MODEL[name] for name in ("features", "strategy_sha256")}, changed(**TRADED))


def test_other_classes_are_learnt() -> None:
    assert "its features have the same names" in refused(
        changed(decisions={**SMALL["decisions"], "num_classes": 5})
    )


def test_what_is_not_learnt_changes_no_weight() -> None:
    """Every such part of a strategy is changed at once, and a training comes to the same bytes."""
    traded = changed(**TRADED)
    before, after = TRAINED.to_config(), traded.to_config()
    parts = {"": (before, after), "decisions.": (before["decisions"], after["decisions"])}
    differ = {
        f"{above}{name}"
        for above, (old, new) in parts.items()
        for name in old.keys() | new.keys()
        if old.get(name) != new.get(name)
    }
    assert differ == {*NOT_LEARNT, "decisions"}
    assert not any(is_learnt(name) for name in NOT_LEARNT)
    assert learnt(traded) == learnt(TRAINED)
