"""The whole grammar: what users write loads, and every mistake is named where it stands."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ktrdr.agents.designers.grammar_space import OSCILLATORS
from ktrdr.data.catalog import Catalog
from ktrdr.data.features import compute_features
from ktrdr.data.loading import load_development
from ktrdr.data.market import Market
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.grammar.checking import MAX_FAULTS, check, warnings_of
from ktrdr.domain.grammar.indicators import CATALOGUE, INDICATORS, SHORTEST
from ktrdr.domain.grammar.schema import json_schema
from ktrdr.domain.grammar.template import template
from ktrdr.domain.strategies import parse_strategy
from ktrdr.domain.strategy_files import report_on, report_on_text
from tests.integration.strategies import SMALL
from tests.unit.grammar.test_stability import EXAMPLE, designed, places
from tests.unit.grammar.whole import TEXT, changed, whole

MULTI = {"mode": "multi_timeframe", "list": ["5m", "1h"], "base_timeframe": "1h"}
BARRIERS = {"pt_multiplier": 2.0, "sl_multiplier": 1.0, "max_holding_period": 20, "vol_span": 50}
OLD_BARRIERS = {"profit_target_atr": 2.0, "stop_loss_atr": 1.0, "max_holding_bars": 20, "atr_period": 14}
RECURRENT = {"sequence_length": 20, "hidden_size": 32, "num_layers": 2, "dropout": 0.1}


def nested(levels: int) -> Any:
    """So many mappings in each other."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


LOADS: dict[str, dict[str, Any]] = {
    "the example": whole(),
    "several symbols": changed(training_data__symbols={"mode": "multi_symbol", "list": ["AAPL", "EUR/USD"]}),
    "several timeframes": changed(training_data__timeframes=MULTI, nn_inputs__1__timeframes=["5m"]),
    "start_date": changed(training_data__date_range={"start_date": "1999-01-04", "end_date": "2000-01-01"}),
    "an indicator on another series": changed(indicators__rsi_14={"type": "RSI", "data_source": "VIX"}),
    "aliases of macd": changed(indicators__macd_12_26_9={"type": "MACD", "fast": 5, "slow": 20, "signal": 4}),
    "four points": changed(fuzzy_sets__rsi_momentum__oversold=[0, 0, 25, 40]),
    "a sigmoid": changed(fuzzy_sets__macd_trend__bullish={"type": "sigmoid", "parameters": [0, -2]}),
    "lstm": changed(model={"type": "lstm", "architecture": RECURRENT}),
    "gru": changed(model={"type": "gru", "architecture": RECURRENT}),
    "focal": changed(training__loss="focal", training__focal_gamma=2.0),
    "regression": changed(
        decisions={"output_format": "regression"},
        training__loss="huber",
        training__huber_delta=1.0,
        training__labels={"source": "forward_return", "horizon": 3},
    ),
    "validation_split": changed(training__data_split=None, training__validation_split=0.2),
    "forward_return": changed(training__labels={"source": "forward_return", "horizon": 5}),
    "triple_barrier": changed(training__labels={"source": "triple_barrier", "vol_method": "ewm"} | BARRIERS),
    "old names of the barriers": changed(training__labels={"source": "triple_barrier"} | OLD_BARRIERS),
    "regime": changed(training__labels={"source": "regime"}, decisions__num_classes=4),
    "context": changed(training__labels={"source": "context"}),
    "our own keys": changed(
        training__data_split=None, training__walk_forward={"folds": 3}, training__ensemble=2
    ),
    "an optimizer": changed(training__optimizer="sgd", training__momentum=0.9, training__weight_decay=1e-4),
    "class weights": changed(training__class_weights=[1.0, 0.5, 1.0], training__device="cuda:1"),
    "learnt memberships": changed(model__learn_memberships=True),
    "kept keys": changed(scope="x", context_data={"a": [1]}, deployment=nested(30)),
    "every indicator": changed(indicators={f"one_{kind}": {"type": kind} for kind in CATALOGUE})
    | {"fuzzy_sets": {}, "nn_inputs": [{"raw_indicator": "one_aroon.down", "normalization": "zscore"}]},
}


@pytest.mark.parametrize("config", LOADS.values(), ids=LOADS.keys())
def test_every_construct_of_the_grammar_loads(config: Any) -> None:
    strategy, faults = check(config)
    assert faults == []
    assert strategy is not None
    assert len(strategy.features()) > 0


@pytest.mark.parametrize("config", LOADS.values(), ids=LOADS.keys())
def test_the_published_schema_accepts_what_the_grammar_accepts(config: Any) -> None:
    assert [error.message for error in Draft202012Validator(json_schema()).iter_errors(config)] == []


@pytest.mark.parametrize("written", ["Bollinger_Bands", "BBANDS", "bollinger", "Parabolic SAR", "williams_r"])
def test_types_are_known_by_the_names_in_use(written: str) -> None:
    config = changed(indicators__rsi_14={"type": written}, fuzzy_sets__rsi_momentum__indicator="rsi_14")
    assert check(config)[1] == []


# what is set where → the path of the error, and the name that is suggested (None: none).
MISTAKES: list[tuple[dict[str, Any], str, str | None]] = [
    ({"trainng": {}}, "trainng", "training"),
    ({"name": None}, "name", None),
    ({"name": "../x"}, "name", None),
    ({"version": 3.0}, "version", None),
    ({"version": "3.1"}, "version", "3.0"),
    ({"training_data": None}, "training_data", None),
    ({"training_data__symbol": "A"}, "training_data.symbol", "symbols"),
    ({"training_data__symbols__mode": "multi_symbols"}, "training_data.symbols.mode", "multi_symbol"),
    ({"training_data__symbols": {"mode": "multi_symbol"}}, "training_data.symbols", None),
    (
        {"training_data__symbols": {"mode": "multi_symbol", "list": ["A", "A"]}},
        "training_data.symbols.list",
        None,
    ),
    ({"training_data__symbols__list": ["A"]}, "training_data.symbols.list", None),
    ({"training_data__symbols": {"mode": "single"}}, "training_data.symbols", None),
    ({"training_data__timeframes__timeframe": "1hr"}, "training_data.timeframes.timeframe", "1h"),
    (
        {"training_data__timeframes": MULTI | {"base_timeframe": "15m"}},
        "training_data.timeframes.base_timeframe",
        "5m",
    ),
    ({"training_data__date_range__end": "1998-01-01"}, "training_data.date_range", None),
    ({"training_data__date_range__edn": "2000-01-01"}, "training_data.date_range.edn", "end"),
    ({"indicators__rsi_14__type": "rsl"}, "indicators.rsi_14.type", "rsi"),
    ({"indicators__rsi_14__perod": 3}, "indicators.rsi_14.perod", "period"),
    ({"indicators__rsi_14__period": 2.5}, "indicators.rsi_14.period", None),
    ({"indicators__rsi_14__period": 1}, "indicators.rsi_14.period", None),
    ({"indicators__rsi_14__source": "clos"}, "indicators.rsi_14.source", "close"),
    ({"indicators__rsi_14": {"type": "atr", "source": "open"}}, "indicators.rsi_14.source", None),
    ({"indicators__rsi_14__data_source": 3}, "indicators.rsi_14.data_source", None),
    ({"indicators__macd_12_26_9__fast_period": 30}, "indicators.macd_12_26_9", None),
    ({"fuzzy_sets__rsi_momentum__indicator": "rsi_15"}, "fuzzy_sets.rsi_momentum.indicator", "rsi_14"),
    (
        {"fuzzy_sets__macd_trend__indicator": "macd_12_26_9.hist"},
        "fuzzy_sets.macd_trend.indicator",
        "histogram",
    ),
    ({"fuzzy_sets__rsi_momentum__oversold": [0, 25]}, "fuzzy_sets.rsi_momentum.oversold", None),
    ({"fuzzy_sets__rsi_momentum__oversold": [40, 25, 0]}, "fuzzy_sets.rsi_momentum.oversold", None),
    ({"fuzzy_sets__rsi_momentum__oversold": [0, "x", 3]}, "fuzzy_sets.rsi_momentum.oversold.1", None),
    ({"fuzzy_sets__macd_trend__bullish__type": "gausian"}, "fuzzy_sets.macd_trend.bullish.type", "gaussian"),
    ({"fuzzy_sets__macd_trend__bullish__parameters": [1]}, "fuzzy_sets.macd_trend.bullish.parameters", None),
    (
        {"fuzzy_sets__macd_trend__bullish__parameters": [1, 0]},
        "fuzzy_sets.macd_trend.bullish.parameters",
        None,
    ),
    ({"fuzzy_sets__macd_trend__bullish__params": [1]}, "fuzzy_sets.macd_trend.bullish.params", "parameters"),
    ({"nn_inputs__0__fuzzy_set": "rsi_momentun"}, "nn_inputs.0.fuzzy_set", "rsi_momentum"),
    ({"nn_inputs__0__fuzzyset": "x"}, "nn_inputs.0.fuzzyset", "fuzzy_set"),
    ({"scope": nested(31)}, "scope", None),
    ({"deployment": {"a": [nested(30_000)]}}, "deployment", None),
    ({"nn_inputs__1__timeframes": ["1h"]}, "nn_inputs.1.timeframes.0", None),
    ({"nn_inputs__1__timeframes": "every"}, "nn_inputs.1.timeframes", None),
    ({"nn_inputs__2__normalization": None}, "nn_inputs.2", None),
    ({"nn_inputs__2__fuzzy_set": "rsi_momentum"}, "nn_inputs.2", None),
    ({"model__type": "lsmt"}, "model.type", "lstm"),
    ({"model__architecture__activation": "rel"}, "model.architecture.activation", "relu"),
    ({"model__architecture__hidden_size": 3}, "model.architecture.hidden_size", None),
    ({"model__type": "gru"}, "model.architecture.hidden_layers", None),
    ({"decisions__confidence": 0.5}, "decisions.confidence", "confidence_threshold"),
    ({"decisions__output_format": "regression"}, "training.loss", None),
    ({"decisions__filters__volume_fliter": True}, "decisions.filters.volume_fliter", "volume_filter"),
    ({"training__loss": "hubr"}, "training.loss", "huber"),
    ({"training__class_weights": [1.0]}, "training.class_weights", None),
    ({"training__device": "gpu"}, "training.device", None),
    ({"training__optimizer": "adamm"}, "training.optimizer", "adam"),
    ({"training__momentum": 0.9}, "training.momentum", None),
    ({"training__walk_forward": {}}, "training.walk_forward", None),
    ({"decisions__num_classes": 4}, "decisions.num_classes", None),
    ({"training__lr_scheduler": {"type": "cosine", "gamma": 0.5}}, "training.lr_scheduler.gamma", None),
    ({"training__focal_gamma": 2.0}, "training.focal_gamma", None),
    ({"training__data_split__test": 0.3}, "training.data_split", None),
    ({"training__validation_split": 0.2}, "training.validation_split", None),
    ({"training__early_stopping__patence": 3}, "training.early_stopping.patence", "patience"),
    ({"training__lr_scheduler__type": "cosin"}, "training.lr_scheduler.type", "cosine"),
    ({"training__labels__source": "zigzg"}, "training.labels.source", "zigzag"),
    ({"training__labels__horizon": 3}, "training.labels.horizon", None),
    ({"training__epochs": 0}, "training.epochs", None),
]  # fmt: skip


@pytest.mark.parametrize(("places", "path", "closest"), MISTAKES, ids=[one[1] for one in MISTAKES])
def test_a_mistake_is_named_where_it_stands(places: dict[str, Any], path: str, closest: str | None) -> None:
    faults = {fault["path"]: fault for fault in check(changed(**places))[1]}
    assert path in faults
    assert faults[path].get("closest") == closest
    if closest is not None:
        assert closest in faults[path]["allowed"]


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line() -> None:
    text = TEXT.replace("period: 14", "perod: 14").replace("[0, 25, 40]", "[40, 25, 0]")
    text = text.replace("fuzzy_set: macd_trend", "fuzzy_set: macd_tend").replace("epochs: 100", "epochs: 0")
    text = text.replace("patience: 15", "patence: 15").replace("round_trip_cost", "roundtrip_cost")
    found = [(fault["line"], fault["path"]) for fault in report_on_text(text).errors]
    assert found == [
        (10, "indicators.rsi_14.perod"),
        (15, "fuzzy_sets.rsi_momentum.oversold"),
        (22, "nn_inputs.1.fuzzy_set"),
        (31, "decisions.cost_model.roundtrip_cost"),
        (35, "training.epochs"),
        (41, "training.early_stopping.patence"),
    ]


def test_what_is_missing_has_the_line_of_what_it_would_be_in() -> None:
    text = TEXT.replace("    indicator: rsi_14\n", "")
    (fault,) = report_on_text(text).errors
    assert (fault["line"], fault["path"]) == (13, "fuzzy_sets.rsi_momentum.indicator")


@pytest.mark.parametrize("config", [{**SMALL, "version": "2.0"}, {**SMALL, "indicators": [{"name": "rsi"}]}])
def test_version_2_is_refused_with_what_changed(config: Any) -> None:
    report = report_on(config)
    assert [fault["path"] for fault in report.errors] == ["version"]
    assert "indicators are a mapping" in report.errors[0]["message"]


def test_features_come_by_input_then_timeframe_then_label() -> None:
    strategy, _ = check(changed(training_data__timeframes=MULTI, nn_inputs__1__timeframes=["1h"]))
    assert strategy is not None
    assert strategy.features() == (
        "5m_rsi_momentum_oversold",
        "5m_rsi_momentum_overbought",
        "1h_rsi_momentum_oversold",
        "1h_rsi_momentum_overbought",
        "1h_macd_trend_bullish",
        "5m_rsi_14",
        "1h_rsi_14",
    )


def test_what_is_not_acted_on_or_not_used_is_warned_of() -> None:
    strategy, _ = check(changed(scope="x", deployment={"a": 1}, indicators__spare={"type": "obv"}))
    assert strategy is not None
    expected = ["scope", "deployment", "decisions.cost_model.min_edge_multiplier", "indicators.spare"]
    assert [one["path"] for one in warnings_of(strategy)] == expected


def runs_today() -> list[dict[str, Any]]:
    return [SMALL, report_on_text(EXAMPLE.read_text()).config, *designed()]  # type: ignore[list-item]


def test_what_runs_today_is_valid_in_the_whole_grammar_in_both_spellings() -> None:
    """As written, and with every default written out as a checkpoint has it."""
    for config in runs_today():
        for one in (config, parse_strategy(config).to_config()):
            report = report_on(json.loads(json.dumps(one)))
            assert report.errors == ()


@pytest.mark.parametrize("config", LOADS.values(), ids=LOADS.keys())
def test_a_strategy_reads_back_from_its_config_to_an_equal_one(config: Any) -> None:
    """Every default that is filled in means the same written out."""
    strategy = parse_strategy(config)
    again = parse_strategy(json.loads(json.dumps(strategy.to_config())))
    assert again == strategy
    assert again.to_config() == strategy.to_config()


def test_defaults_follow_what_they_belong_to() -> None:
    """The classes from the labels, the loss from the output, the networks from the way rows are split."""
    regime = parse_strategy(changed(training__labels={"source": "regime"}, decisions__num_classes=None))
    assert (regime.decisions.num_classes, regime.training.labels.horizon) == (4, 20)
    assert (regime.training.ensemble, regime.training.walk_forward) == (1, None)
    plain = parse_strategy({**SMALL, "training": {}, "decisions": {"output_format": "regression"}})
    assert (plain.training.loss, plain.decisions.num_classes) == ("huber", None)
    assert (plain.training.ensemble, plain.training.walk_forward is not None) == (3, True)
    old = parse_strategy(LOADS["old names of the barriers"]).training.labels
    assert (old.vol_method, old.vol_span, old.pt_multiplier) == ("atr", 14, 2.0)


def test_the_features_are_those_of_the_matrix() -> None:
    """The ids that are shown are the columns that are trained on."""
    report = report_on_text(EXAMPLE.read_text())
    assert report.config is not None
    bars = load_development(Catalog(None), "nasdaq")
    market = Market("1d", {("NASDAQ", "1d"): bars})
    assert compute_features(market, "NASDAQ", parse_strategy(report.config)).names == report.features


def test_the_template_is_valid_runs_and_has_the_name() -> None:
    for name in ("mine", "1 of 2", "null"):
        report = report_on_text(template(name))
        assert (report.errors, report.warnings, report.name) == ((), (), name)


def test_the_schema_is_a_schema_and_refuses_what_is_misspelt() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    misspelt: list[dict[str, Any]] = [
        {"trainng": {}},
        {"indicators__rsi_14__perod": 3},
        {"model__type": "lsmt"},
    ]
    for changes in misspelt:
        assert list(Draft202012Validator(schema).iter_errors(changed(**changes))) != []


def test_the_catalogue_holds_what_is_computed_and_what_the_designer_uses() -> None:
    assert INDICATORS.items() <= CATALOGUE.items()
    assert set(OSCILLATORS) <= set(INDICATORS)
    assert set(SHORTEST) <= {name for defaults, _ in CATALOGUE.values() for name in defaults}


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [[]], {"a": {}}, float("nan"), [1, 2], True])
def test_nothing_in_any_place_breaks_the_check(value: Any) -> None:
    """It answers with faults, whatever stands where a part is expected."""

    for place in places(whole())[1:]:
        config: Any = whole()
        part = config
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value
        json.dumps(report_on(config).errors, allow_nan=False)


def test_a_strategy_of_mistakes_alone_is_answered_soon() -> None:
    """What one request may carry is answered within what a client waits."""
    config = whole() | {"indicators": {f"i{n}": {"type": "rsl"} for n in range(20_000)}}
    config["nn_inputs"] = [{"raw_indicator": f"z{n}"} for n in range(20_000)]
    began = time.monotonic()
    report = report_on(config)
    with pytest.raises(InvalidInput):
        parse_strategy(config)
    assert MAX_FAULTS <= len(report.errors) <= 2 * MAX_FAULTS
    assert time.monotonic() - began < 15.0
