"""What the grammar accepts, TA-Lib computes."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.indicators import compute
from ktrdr.data.loading import load_development
from ktrdr.domain.grammar.indicators import FROM_ONE, INDICATORS, SHORTEST
from ktrdr.domain.strategies import Indicator


@lru_cache
def bars() -> Bars:
    return load_development(Catalog(None), "nasdaq").until(400)


@pytest.mark.parametrize("kind", INDICATORS)
def test_the_shortest_periods_that_are_accepted_are_computed(kind: str) -> None:
    """One bar less is refused by the grammar where TA-Lib would refuse it."""
    low = {name: 1 if kind in FROM_ONE else SHORTEST.get(name, 1) for name in INDICATORS[kind][0]}
    if kind == "macd":
        low["slow_period"] += 1
    indicator = Indicator.model_validate({"type": kind, **low})
    for output in INDICATORS[kind][1]:
        values = compute(bars(), indicator, output)
        assert values.shape == (400,)
        assert np.isfinite(values[60:]).all()


@pytest.mark.parametrize("kind", [kind for kind, (names, _) in INDICATORS.items() if "period" in names])
def test_too_short_a_period_is_refused_before_anything_is_computed(kind: str) -> None:
    period = 0 if kind in FROM_ONE else 1
    with pytest.raises(ValueError, match=r"period (of|is)"):
        Indicator.model_validate({"type": kind, "period": period})


def test_without_a_dot_an_indicator_is_its_first_output() -> None:
    macd = Indicator.model_validate({"type": "macd"})
    np.testing.assert_array_equal(compute(bars(), macd, None), compute(bars(), macd, "line"))
    assert not np.array_equal(compute(bars(), macd, "line")[40:], compute(bars(), macd, "signal")[40:])


def test_a_worker_computes_indicators_without_pandas() -> None:
    """TA-Lib would import it to wrap itself; whoever wants pandas afterwards still gets it."""
    code = (
        "import sys, ktrdr.workers.jobs.training; print('pandas' in sys.modules); import pandas; "
        "print(pandas.Series([1]).sum())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "1"]
