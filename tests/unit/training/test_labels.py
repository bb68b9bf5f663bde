"""What each label source says of a bar, how far it looks, and that it sees no further."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ktrdr.data.bars import Bars
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.grammar.parts import Labels
from ktrdr.domain.labels import CLASSES, DEFAULT_CLASSES
from ktrdr.training.labels import Labelling, classify, fit_edges, forward_returns, label

from . import label_oracle as oracle
from .label_oracle import settings, walk

BARRIERS: dict[str, Any] = {"pt_multiplier": 2.0, "sl_multiplier": 1.5, "max_holding_period": 6}
EVERY: list[dict[str, Any]] = [
    {"source": "forward_return", "horizon": 5},
    {"source": "zigzag", "zigzag_threshold": 0.02, "label_lookahead": 7},
    {"source": "triple_barrier", **BARRIERS, "vol_span": 10, "vol_method": "ewm"},
    {"source": "triple_barrier", **BARRIERS, "vol_span": 10, "vol_method": "rolling"},
    {"source": "triple_barrier", **BARRIERS, "vol_span": 10, "vol_method": "atr"},
    {"source": "regime", "horizon": 9},
    {"source": "context", "horizon": 9},
]
every_source = pytest.mark.parametrize("keys", EVERY, ids=lambda keys: "-".join(map(str, keys.values())))
seeds = st.integers(0, 2**32 - 1)
ticks = st.sampled_from([None, 0.01, 0.5, 2.0])


def labelled(bars: Bars, keys: dict[str, Any]) -> Labelling:
    return label(bars, settings(**keys), DEFAULT_CLASSES[keys["source"]])


def classes_of(labelling: Labelling) -> list[int | None]:
    """None where the label is not known."""
    known = np.isfinite(labelling.score)
    edges = labelling.edges or fit_edges(labelling.score[known], len(labelling.classes))
    found: list[int | None] = [None] * len(known)
    for row, one in zip(np.flatnonzero(known), classify(labelling.score[known], edges), strict=True):
        found[row] = int(one)
    return found


@hypothesis_settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 60), st.integers(1, 20), ticks)
def test_a_forward_return_is_the_return_at_the_horizon(
    seed: int, n: int, horizon: int, tick: float | None
) -> None:
    """To the last bit, for it is the target of a regression too."""
    bars = walk(seed, n, tick=tick)
    found = [None if np.isnan(one) else one for one in forward_returns(bars, horizon)]
    assert found == oracle.forward_return(bars, horizon)


@hypothesis_settings(deadline=None, max_examples=100)
@given(seeds, st.integers(1, 120), st.integers(1, 40), st.sampled_from([0.005, 0.02, 0.9]), ticks)
def test_zigzag_says_which_way_the_price_goes_first(
    seed: int, n: int, lookahead: int, threshold: float, tick: float | None
) -> None:
    """A rise, a fall, or neither; a bar that meets the threshold exactly has made it."""
    bars = walk(seed, n, tick=tick)
    keys = {"source": "zigzag", "zigzag_threshold": threshold, "label_lookahead": lookahead}
    assert classes_of(labelled(bars, keys)) == oracle.zigzag(bars, threshold, lookahead)


@hypothesis_settings(deadline=None, max_examples=150)
@given(
    seeds,
    st.integers(1, 90),
    st.floats(0.2, 4.0),
    st.floats(0.2, 4.0),
    st.integers(1, 20),
    st.integers(2, 30),
    st.sampled_from(["ewm", "rolling", "atr"]),
    ticks,
)
def test_a_triple_barrier_says_what_is_touched_first(
    seed: int, n: int, profit: float, stop: float, holding: int, span: int, method: str, tick: float | None
) -> None:
    """Profit, stop or timeout, with barriers as wide as the bar's own volatility says."""
    bars = walk(seed, n, tick=tick)
    keys = {
        "source": "triple_barrier",
        "pt_multiplier": profit,
        "sl_multiplier": stop,
        "max_holding_period": holding,
        "vol_span": span,
        "vol_method": method,
    }
    expected = oracle.triple_barrier(bars, profit, stop, holding, span, method)
    assert classes_of(labelled(bars, keys)) == expected


@hypothesis_settings(deadline=None, max_examples=40)
@given(seeds, st.integers(95, 200), st.integers(1, 30), ticks)
def test_a_regime_is_that_of_the_bars_to_come(seed: int, n: int, horizon: int, tick: float | None) -> None:
    """Half of the walk moves twice as much as the other, so that all four occur."""
    bars = walk(seed, n, tick=tick)
    close = bars.close.copy()
    close[n // 2 + 30 :] = close[n // 2 + 30 :] ** 2 / 100.0
    bars = Bars(bars.time, bars.open, bars.high, bars.low, close, bars.volume)
    assert classes_of(labelled(bars, {"source": "regime", "horizon": horizon})) == oracle.regime(
        bars, horizon
    )


@hypothesis_settings(deadline=None, max_examples=40)
@given(seeds, st.integers(95, 200), st.integers(1, 30), ticks)
def test_a_context_is_half_a_deviation_away_or_neutral(
    seed: int, n: int, horizon: int, tick: float | None
) -> None:
    """The unit is the volatility of the last hundred bars over the horizon."""
    bars = walk(seed, n, tick=tick)
    found = classes_of(labelled(bars, {"source": "context", "horizon": horizon}))
    assert found == oracle.context(bars, horizon)


def test_every_class_occurs() -> None:
    """On a long walk with calm and wild stretches no class of any source is empty."""
    bars = walk(3, 3000)
    row = np.arange(3000)
    close = bars.close * np.where((row % 600 > 500) & (row % 2 == 0), 1.04, 1.0)
    bars = Bars(bars.time, close, close * 1.001, close * 0.999, close, bars.volume)
    for keys in EVERY:
        labelling = labelled(bars, keys)
        assert set(classes_of(labelling)) == {None, *range(len(labelling.classes))}, keys


@every_source
@hypothesis_settings(deadline=None, max_examples=15)
@given(seed=seeds, t=st.integers(0, 170))
def test_no_label_looks_further_than_its_reach(keys: dict[str, Any], seed: int, t: int) -> None:
    """Other bars from t + reach + 1 on: not a bit of a label up to t is different."""
    bars, others = walk(seed, 180), walk(seed + 1, 180, deviation=0.05)
    from_there = t + labelled(bars, keys).reach + 1
    mixed = bars.until(180)
    for name in ("open", "high", "low", "close", "volume"):
        getattr(mixed, name)[from_there:] = getattr(others, name)[from_there:]
    before, after = labelled(bars, keys), labelled(mixed, keys)
    np.testing.assert_array_equal(before.score[: t + 1], after.score[: t + 1])


@every_source
def test_a_label_does_look_as_far_as_its_reach(keys: dict[str, Any]) -> None:
    """A reach that is too long would waste rows of every training."""
    bars = walk(5, 300)
    reach, changed = labelled(bars, keys).reach, []
    for t in range(120, 250):
        other = bars.until(300)
        other.close[t + reach] *= 3.0
        changed.append(labelled(other, keys).score[t] != labelled(bars, keys).score[t])
    assert any(changed)


@every_source
@pytest.mark.parametrize("n", [1, 2, 5, 40, 101, 104, 130])
def test_no_label_is_known_whose_window_passes_the_end(keys: dict[str, Any], n: int) -> None:
    """Not even one that is decided before the end; and all before it are, once volatility is."""
    labelling = labelled(walk(7, n), keys)
    warm = {"regime": 100, "context": 100, "triple_barrier": 10}.get(keys["source"], 0)
    expected = [warm <= t < n - labelling.reach for t in range(n)]
    assert np.isfinite(labelling.score).tolist() == expected


@every_source
def test_what_comes_after_the_training_segment_moves_nothing_in_it(keys: dict[str, Any]) -> None:
    """A planted future: neither the edges nor the class of any training row is different."""
    end = 220
    bars = walk(11, 400)
    planted = bars.until(400)
    for column in (planted.open, planted.high, planted.low, planted.close):
        column[end:] *= np.linspace(5.0, 0.1, 400 - end)
    found = []
    for one in (bars, planted):
        labelling = labelled(one, keys)
        rows = labelling.score[100 : end - labelling.reach]
        edges = labelling.edges or fit_edges(rows, len(labelling.classes))
        found.append((edges, classify(rows, edges).tolist()))
    assert found[0] == found[1]


@every_source
def test_a_price_that_stands_still_goes_nowhere(keys: dict[str, Any]) -> None:
    """Flat, neutral or ranging, and no warning of a division by zero."""
    still = np.full(200, 12.34)
    bars = Bars(np.arange(200), still, still, still, still, np.zeros(200))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labelling = labelled(bars, keys)
        found = set(classes_of(labelling)) - {None}
    assert {labelling.classes[one] for one in found if one is not None} <= {"flat", "neutral", "ranging"}
    assert found


def test_a_price_that_stops_moving_touches_no_barrier() -> None:
    """Volatility has faded to nothing by then, and a barrier would lie on the price."""
    close = np.concatenate([walk(2, 40).close, np.full(200, 100.0)])
    bars = Bars(np.arange(240), close, close, close, close, np.zeros(240))
    for keys in EVERY[2:5]:
        assert set(classes_of(labelled(bars, keys))[60:230]) == {1}


def test_steady_growth_is_a_trend_and_not_volatile() -> None:
    """Its deviation is nothing but rounding, which must not be compared with more rounding."""
    close = 100.0 * 1.0001 ** np.arange(300.0)
    bars = Bars(np.arange(300), close, close, close, close, np.ones(300))
    labelling = labelled(bars, {"source": "regime", "horizon": 20})
    assert set(classes_of(labelling)[100:280]) == {labelling.classes.index("trending_up")}


@hypothesis_settings(deadline=None, max_examples=60)
@given(seeds, st.integers(2, 10), st.integers(10, 300))
def test_the_classes_of_the_training_rows_are_of_equal_size(seed: int, num_classes: int, n: int) -> None:
    """To a row, when no two are alike: the edges are the quantiles themselves."""
    score = np.random.default_rng(seed).normal(size=n)
    edges = fit_edges(score, num_classes)
    assert edges == tuple(np.quantile(score, [i / num_classes for i in range(1, num_classes)]))
    sizes = np.bincount(classify(score, edges), minlength=num_classes)
    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 2


@pytest.mark.parametrize("num_classes", [3, 5, 7, 9])
@pytest.mark.parametrize("ups", [20, 200, 1000])
def test_bars_that_do_not_move_are_in_the_middle(num_classes: int, ups: int) -> None:
    """Wherever the quantiles fall among the many rows that are exactly zero."""
    rng = np.random.default_rng(num_classes)
    score = np.concatenate([np.zeros(900), rng.uniform(0.1, 1.0, ups), rng.uniform(-1.0, -0.1, 1020 - ups)])
    found = classify(score, fit_edges(score, num_classes))
    assert set(found[:900]) == {num_classes // 2}
    assert (found[900 : 900 + ups] >= num_classes // 2).all()
    assert (found[900 + ups :] <= num_classes // 2).all()


@pytest.mark.parametrize("num_classes", CLASSES["forward_return"])
def test_a_forward_return_class_speaks_for_its_side_of_the_middle(num_classes: int) -> None:
    """Two are down and up, three have a flat one; more are numbered."""
    labelling = label(walk(1, 50), settings(source="forward_return", horizon=3), num_classes)
    low, high = num_classes // 2, num_classes - num_classes // 2
    assert labelling.directions == (-1,) * low + (0,) * (high - low) + (1,) * low
    named = {2: ("down", "up"), 3: ("down", "flat", "up")}
    assert labelling.classes == named.get(num_classes, tuple(f"class_{i}" for i in range(num_classes)))
    assert labelling.edges is None


def test_a_class_has_a_name_and_speaks_for_a_position() -> None:
    """A regime that is volatile or ranging speaks for none."""
    found = {
        keys["source"]: dict(zip(one.classes, one.directions, strict=True))
        for keys in EVERY
        for one in [labelled(walk(1, 150), keys)]
    }
    three = {"down": -1, "flat": 0, "up": 1}
    assert found == {
        "forward_return": three,
        "zigzag": three,
        "triple_barrier": three,
        "regime": {"trending_up": 1, "trending_down": -1, "ranging": 0, "volatile": 0},
        "context": {"bearish": -1, "neutral": 0, "bullish": 1},
    }


@every_source
def test_a_source_has_the_numbers_of_classes_that_the_grammar_allows(keys: dict[str, Any]) -> None:
    """Any other is refused with those that are."""
    for count in range(1, 12):
        if count in CLASSES[keys["source"]]:
            labelling = label(walk(1, 150), settings(**keys), count)
            assert len(labelling.classes) == len(labelling.directions) == count
        else:
            with pytest.raises(ValueError, match=f"have .* classes, not {count}"):
                label(walk(1, 150), settings(**keys), count)


@pytest.mark.parametrize("source", ["regime", "context"])
def test_a_lookahead_is_a_horizon_by_another_name(source: str) -> None:
    first = labelled(walk(4, 200), {"source": source, "horizon": 6})
    second = labelled(walk(4, 200), {"source": source, "label_lookahead": 6})
    np.testing.assert_array_equal(first.score, second.score)
    assert first.reach == second.reach == 6


@every_source
@pytest.mark.parametrize("price", [0.0, -1.0, np.nan, np.inf])
def test_a_price_that_is_none_is_refused_by_its_bar(keys: dict[str, Any], price: float) -> None:
    """No return to or from it exists, so nothing of it is guessed."""
    bars = walk(4, 200)
    bars.close[17] = price
    with pytest.raises(StepFailed, match="bar 17") as refused:
        labelled(bars, keys)
    assert refused.value.step_code == "PRICE_NOT_POSITIVE"


def test_a_row_that_is_not_known_has_no_class_and_no_say() -> None:
    """Else it would be trained on as the highest class."""
    with pytest.raises(ValueError, match="purge"):
        classify(np.array([0.0, np.nan]), (-0.5, 0.5))
    with pytest.raises(ValueError, match="known"):
        fit_edges(np.array([0.0, np.nan]), 3)
    with pytest.raises(ValueError, match="at least one"):
        fit_edges(np.array([]), 3)


def test_a_setting_that_is_missing_is_named() -> None:
    """Settings that passed no validation have no defaults."""
    with pytest.raises(ValueError, match="zigzag_threshold"):
        label(walk(1, 50), Labels.model_construct(source="zigzag", label_lookahead=5), 3)
    with pytest.raises(ValueError, match="vol_span of 2"):
        labelled(walk(1, 50), {**EVERY[2], "vol_span": 1})
