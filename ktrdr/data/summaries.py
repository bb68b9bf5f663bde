"""What the bars of a development segment are like, in few figures. The holdout is never looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from ktrdr.data.bars import YEAR, Bars, Floats
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_development

HORIZONS = (1, 5, 20)  # bars
LAGS = (1, 2, 5)
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
FIGURES = 4  # significant digits: equal bars give equal text on every machine
MAX_YEARS = 40


def summary(catalog: Catalog, key: str) -> dict[str, Any]:
    """The development segment of one data set: dates, returns, volatility, and what repeats itself.

    Returns are fractions of the close; volatility is their standard deviation times the root of the bars
    a year. What too few bars can't say is None.
    """
    spec, bars = catalog.get(key), load_development(catalog, key)
    returns = bars.close[1:] / bars.close[:-1] - 1.0
    falls = bars.close / np.maximum.accumulate(bars.close) - 1.0 if len(bars) else np.zeros(1)
    return {
        "dataset": key,
        "symbol": spec.symbol,
        "timeframe": spec.timeframe,
        "segment": "development",
        "bars": len(bars),
        "bars_per_year": bars.per_year,
        "first": _day(bars, 0),
        "last": _day(bars, -1),
        "close": {"first": _at(bars.close, 0), "last": _at(bars.close, -1)},
        "annual_return": _annual(bars),
        "annual_volatility": _volatility(returns, bars.per_year),
        "max_drawdown": _round(-falls.min()),
        "share_of_bars_up": _mean(returns > 0.0),
        "returns_over_bars": {str(bars_on): _spread(bars.close, bars_on) for bars_on in HORIZONS},
        "autocorrelation_by_lag": {str(lag): _correlation(returns, lag) for lag in LAGS},
        # Large moves that follow each other are what a filter on volatility can use.
        "autocorrelation_of_size_by_lag": {str(lag): _correlation(np.abs(returns), lag) for lag in LAGS},
        "has_volume": bool(len(bars) and (bars.volume > 0.0).mean() > 0.5),
        "years": _years(bars, returns),
    }


def _years(bars: Bars, returns: Floats) -> list[dict[str, Any]]:
    """Return and volatility of each calendar year, the last ones."""
    years = bars.time[1:].astype("datetime64[s]").astype("datetime64[Y]")
    found = []
    for year in np.unique(years)[-MAX_YEARS:]:
        own = returns[years == year]
        found.append(
            {
                "year": str(year),
                "return": _round(np.prod(1.0 + own) - 1.0),
                "volatility": _volatility(own, bars.per_year),
            }
        )
    return found


def _spread(close: Floats, bars_on: int) -> dict[str, float | None]:
    moves = close[bars_on:] / close[:-bars_on] - 1.0
    names = [f"{quantile:.0%}" for quantile in QUANTILES]
    if len(moves) == 0:
        return dict.fromkeys(names)
    return {name: _round(value) for name, value in zip(names, np.quantile(moves, QUANTILES), strict=True)}


def _annual(bars: Bars) -> float | None:
    seconds = int(bars.time[-1] - bars.time[0]) if len(bars) > 1 else 0
    return _round((bars.close[-1] / bars.close[0]) ** (YEAR / seconds) - 1.0) if seconds else None


def _volatility(returns: Floats, per_year: float) -> float | None:
    return _round(returns.std(ddof=1) * np.sqrt(per_year)) if len(returns) > 1 else None


def _correlation(values: Floats, lag: int) -> float | None:
    one, other = values[lag:], values[:-lag]
    if len(one) < 3 or one.std() == 0.0 or other.std() == 0.0:
        return None
    return _round(np.corrcoef(one, other)[0, 1])


def _mean(values: Any) -> float | None:
    return _round(values.mean()) if len(values) else None


def _at(values: Floats, place: int) -> float | None:
    return _round(values[place]) if len(values) else None


def _day(bars: Bars, place: int) -> str | None:
    if len(bars) == 0:
        return None
    return datetime.fromtimestamp(int(bars.time[place]), UTC).date().isoformat()


def _round(value: Any) -> float | None:
    number = float(value)
    return float(f"{number:.{FIGURES}g}") if np.isfinite(number) else None
