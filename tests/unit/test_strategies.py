"""The grammar: one validator, all errors at once, nothing dropped in silence."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.strategies import INDICATORS, parse_strategy, strategy_sha256
from tests.integration.strategies import SMALL


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with one value set at a dotted path."""
    config = copy.deepcopy(SMALL)
    *parents, last = path.split(".")
    part: Any = config
    for name in parents:
        part = part[int(name)] if isinstance(part, list) else part[name]
    part[last] = value
    return config


def errors_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Path → message of every error."""
    with pytest.raises(InvalidInput) as refused:
        parse_strategy(config)
    errors = refused.value.details["errors"]
    assert isinstance(errors, list)
    return {error["path"]: error["message"] for error in errors}


def test_all_errors_are_reported_at_once_with_their_paths() -> None:
    config = changed("training.epochs", 0)
    config["training"]["learning_rate"] = -1.0
    config["model"]["architecture"]["activation"] = "swish"
    config["indicators"]["rsi_14"]["period"] = -3
    config["fuzzy_sets"]["rsi_state"]["low"] = [3, 2, 1]
    found = errors_of(config)
    assert set(found) == {
        "training.epochs",
        "training.learning_rate",
        "model.architecture.activation",
        "indicators.rsi_14.period",
        "fuzzy_sets.rsi_state.low",
    }
    assert found["fuzzy_sets.rsi_state.low"] == "the points rise from left to right"


def test_the_message_names_the_first_error_and_counts_the_rest() -> None:
    config = changed("training.epochs", 0)
    config["training"]["batch_size"] = 0
    with pytest.raises(InvalidInput, match=r"training\.epochs: .* \(and 1 more\)"):
        parse_strategy(config)


def test_all_dangling_references_are_reported_at_once() -> None:
    config = changed("fuzzy_sets.rsi_state.indicator", "rsi_15")
    config["nn_inputs"][1]["fuzzy_set"] = "roc_stat"
    found = errors_of(config)
    assert found == {
        "fuzzy_sets.rsi_state.indicator": "there is no indicator 'rsi_15'; did you mean 'rsi_14'?",
        "nn_inputs.1.fuzzy_set": "there is no fuzzy set 'roc_stat'; did you mean 'roc_state'?",
    }


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        ("indicators.rsi_14.type", "rsl", "indicators.rsi_14.type", "did you mean 'rsi'"),
        ("indicators.rsi_14.perod", 3, "indicators.rsi_14.perod", "did you mean 'period'"),
        ("indicators.rsi_14.type", "zzzz", "indicators.rsi_14.type", "allowed: rsi, roc"),
    ],
)
def test_the_closest_name_is_suggested(path: str, value: Any, where: str, message: str) -> None:
    assert message in errors_of(changed(path, value))[where]


def test_an_output_that_the_indicator_has_not_is_refused() -> None:
    config = changed("indicators.macd_1", {"type": "macd"})
    config["nn_inputs"].append({"raw_indicator": "macd_1.histgram", "normalization": "zscore"})
    found = errors_of(config)
    assert found["nn_inputs.2.raw_indicator"].endswith("did you mean 'histogram'?")


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("trading", {}, "trading"),
        ("training.early_stopping", True, "training.early_stopping"),
        ("training_data.timeframes.timeframe", "1hr", "training_data.timeframes.timeframe"),
        ("model.type", "lsmt", "model.type"),
        ("indicators.rsi_14.source", "opn", "indicators.rsi_14.source"),
        ("indicators.rsi_14.period", 2.5, "indicators.rsi_14.period"),
        ("indicators.rsi_14.period", True, "indicators.rsi_14.period"),
        ("training.learning_rate", float("nan"), "training.learning_rate"),
        ("fuzzy_sets.rsi_state.low", [1, 2], "fuzzy_sets.rsi_state.low"),
        (
            "fuzzy_sets.rsi_state.low",
            {"type": "gaussian", "parameters": [1, 0]},
            "fuzzy_sets.rsi_state.low.parameters",
        ),
        ("nn_inputs.0.raw_indicator", "rsi_14", "nn_inputs.0"),
        ("name", "../x", "name"),
        ("indicators", 5, "indicators"),
        ("indicators.rsi_14", "rsi", "indicators.rsi_14"),
        ("indicators.rsi_14.parameters", 5, "indicators.rsi_14.parameters"),
        ("indicators.rsi_14.parameters", ["period"], "indicators.rsi_14.parameters"),
        ("fuzzy_sets.rsi_state", [], "fuzzy_sets.rsi_state"),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_by_name(path: str, value: Any, where: str) -> None:
    assert where in errors_of(changed(path, value))


@pytest.mark.parametrize("config", [{**SMALL, "version": "2.0"}, {**SMALL, "indicators": [{"name": "rsi"}]}])
def test_version_2_is_refused_with_the_way_on(config: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"version 2 strategy\. In version 3 indicators are a mapping"):
        parse_strategy(config)


def test_aliases_mean_the_same_strategy() -> None:
    short = changed("indicators.macd_1", {"type": "MACD", "fast": 5, "slow": 20, "signal": 4})
    long = changed(
        "indicators.macd_1",
        {"type": "macd", "parameters": {"fast_period": 5, "slow_period": 20, "signal_period": 4}},
    )
    assert strategy_sha256(parse_strategy(short)) == strategy_sha256(parse_strategy(long))


def test_the_dates_aliases_mean_the_same() -> None:
    short = changed("training_data.date_range", {"start": "2001-01-01", "end": "2002-01-01"})
    long = changed("training_data.date_range", {"start_date": "2001-01-01", "end_date": "2002-01-01"})
    assert parse_strategy(short) == parse_strategy(long)


def test_points_are_short_for_shapes() -> None:
    long = changed("fuzzy_sets.rsi_state.low", {"type": "triangular", "parameters": [0, 25, 45]})
    assert parse_strategy(long) == parse_strategy(SMALL)


def test_a_config_reads_back_to_an_equal_strategy() -> None:
    """Every indicator, every shape, a raw input and dates, through JSON and back."""
    config = changed("training_data.date_range", {"start": "2001-01-01", "end": "2002-01-01"})
    config["indicators"] |= {f"one_{kind}": {"type": kind} for kind in INDICATORS}
    config["fuzzy_sets"]["shapes"] = {
        "indicator": "one_macd.signal",
        "a": [1, 2, 3, 4],
        "b": {"type": "gaussian", "parameters": [0.0, 1.5]},
        "c": {"type": "sigmoid", "parameters": [0.0, -2.0]},
    }
    config["nn_inputs"].append({"raw_indicator": "one_bollinger.upper", "normalization": "zscore"})
    strategy = parse_strategy(config)
    again = parse_strategy(json.loads(json.dumps(strategy.to_config())))
    assert again == strategy
    assert again.to_config() == strategy.to_config()


def test_any_change_changes_the_hash() -> None:
    one = strategy_sha256(parse_strategy(SMALL))
    assert strategy_sha256(parse_strategy(copy.deepcopy(SMALL))) == one
    assert strategy_sha256(parse_strategy(changed("training.epochs", 121))) != one


EXAMPLE = Path(__file__).parents[2] / "docs" / "strategies" / "momentum_demo.yaml"


def test_the_example_in_the_documents_is_a_strategy() -> None:
    config = yaml.safe_load(EXAMPLE.read_text())
    strategy = parse_strategy(config)
    assert strategy.name == EXAMPLE.stem
    assert parse_strategy(json.loads(json.dumps(strategy.to_config()))) == strategy


def test_errors_of_structure_do_not_hide_dangling_references() -> None:
    config = changed("training.ephocs", 3)
    config["training"]["epochs"] = 0
    config["fuzzy_sets"]["roc_state"]["indicator"] = "roc_11"
    config["nn_inputs"][0]["fuzzy_set"] = "rsi_stat"
    assert set(errors_of(config)) == {
        "training.epochs",
        "training.ephocs",
        "fuzzy_sets.roc_state.indicator",
        "nn_inputs.0.fuzzy_set",
    }


def test_all_faults_of_one_indicator_are_reported() -> None:
    config = changed("indicators.rsi_14", {"type": "rsi", "period": -1, "perod": 3, "length": 2})
    found = errors_of(config)
    assert "not -1" in found["indicators.rsi_14.period"]
    assert {"indicators.rsi_14.perod", "indicators.rsi_14.length"} <= set(found)


@pytest.mark.parametrize(
    ("path", "value", "closest"),
    [
        ("training.ephocs", 3, "epochs"),
        ("training.labels.horizn", 3, "horizon"),
        ("model.architecture.hiden_layers", [3], "hidden_layers"),
        ("nn_inputs.0.fuzzy_sets", "rsi_state", "fuzzy_set"),
        ("model.architecture.activation", "rel", "relu"),
    ],
)
def test_the_details_carry_what_is_allowed_and_the_closest(path: str, value: Any, closest: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_strategy(changed(path, value))
    errors = refused.value.details["errors"]
    assert isinstance(errors, list)
    (error,) = (one for one in errors if one["path"] == path)
    assert error["closest"] == closest
    assert closest in error["allowed"]


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (
            "training_data.date_range",
            {"start": "2002-01-01", "end": "2001-01-01"},
            "training_data.date_range",
        ),
        ("indicators.rsi_14.period", 1, "indicators.rsi_14.period"),
        ("indicators.roc_10", {"type": "macd", "fast": 26, "slow": 12}, "indicators.roc_10"),
    ],
)
def test_what_would_train_on_something_else_is_refused(path: str, value: Any, where: str) -> None:
    assert where in errors_of(changed(path, value))


@pytest.mark.parametrize("config", [None, [], "name: x", 3])
def test_what_is_no_mapping_is_refused(config: Any) -> None:
    with pytest.raises(InvalidInput, match="a strategy is a mapping"):
        parse_strategy(config)
