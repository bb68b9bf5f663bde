"""Indicators by their name in the grammar. All of them are causal: bar t uses bars up to t.

What each one computes, from which source, from which bar on, and what it says of a market that
stands still is in `docs/indicators.md`. An output is NaN until it is warm and finite from then on.
Averages with a memory (ema, macd, rsi, atr, adx, keltner, supertrend, fishertransform) depend on the
bar at which history starts, less with every bar; lines that only add up (obv, adline) always do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ktrdr.data.bars import Bars
from ktrdr.data.indicators.channels import CHANNELS_OF_BARS, CHANNELS_OF_SERIES
from ktrdr.data.indicators.oscillators import OSCILLATORS_OF_BARS, OSCILLATORS_OF_SERIES
from ktrdr.data.indicators.series import Floats, Outputs, Parameters, series
from ktrdr.data.indicators.trends import TRENDS_OF_BARS, TRENDS_OF_SERIES
from ktrdr.data.indicators.volumes import VOLUMES_OF_BARS
from ktrdr.domain.errors import InvalidInput
from ktrdr.domain.grammar.faults import nearest
from ktrdr.domain.grammar.indicators import CATALOGUE
from ktrdr.domain.strategies import Indicator

__all__ = ["compute", "outputs"]

_OF_SERIES: Mapping[str, Callable[[Floats, Parameters], Outputs]] = {
    **OSCILLATORS_OF_SERIES,
    **TRENDS_OF_SERIES,
    **CHANNELS_OF_SERIES,
}
_OF_BARS: Mapping[str, Callable[[Bars, Parameters], Outputs]] = {
    **OSCILLATORS_OF_BARS,
    **TRENDS_OF_BARS,
    **CHANNELS_OF_BARS,
    **VOLUMES_OF_BARS,
}


def outputs(bars: Bars, indicator: Indicator) -> Outputs:
    """Every output of an indicator in the catalogue's order, each (n,); NaN until it is warm.

    `source` is the series that is read where the formula reads one; the indicators in READS_BARS
    read what their definition names, and no source changes that.
    """
    of_series = _OF_SERIES.get(indicator.type)
    if of_series is not None:
        return of_series(series(bars, indicator.source), indicator.parameters)
    return _OF_BARS[indicator.type](bars, indicator.parameters)


def compute(bars: Bars, indicator: Indicator, output: str | None) -> Floats:
    """One output of an indicator, (n,); NaN until it is warm. None: its first output."""
    names = CATALOGUE[indicator.type][1]
    if output is not None and output not in names:
        raise InvalidInput(f"{indicator.type} has no output '{output}'{nearest(output, names)}.")
    return outputs(bars, indicator)[0 if output is None else names.index(output)]
