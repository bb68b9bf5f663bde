"""Returns of calendar months and years, in UTC."""

from __future__ import annotations

import numpy as np

from ktrdr.backtesting.curves import Times
from ktrdr.backtesting.prices import Floats


def monthly_returns(time: Times, equity: Floats, capital: float) -> list[tuple[int, int, float]]:
    """(year, month, return as a fraction) of each month in which a bar opens, oldest first.

    `time` and `equity` are (m,): when each bar opens (seconds UTC) and the worth at its close. A month
    begins with the last worth before it, the first one with the capital; together they compound to
    the total return. A ruined account returns nothing from then on.
    """
    months = time.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return [
        (1970 + month // 12, month % 12 + 1, value) for month, value in _compounded(months, equity, capital)
    ]


def yearly_returns(time: Times, equity: Floats, capital: float) -> list[tuple[int, float]]:
    """(year, return as a fraction) of each year in which a bar opens, as `monthly_returns`."""
    years = time.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64)
    return [(1970 + year, value) for year, value in _compounded(years, equity, capital)]


def _compounded(periods: Times, equity: Floats, capital: float) -> list[tuple[int, float]]:
    last = np.flatnonzero(np.append(np.diff(periods) != 0, True))
    after = equity[last]
    before = np.concatenate([[capital], after[:-1]])
    returns = np.zeros(len(after))
    np.divide(after - before, before, out=returns, where=before > 0.0)
    return [(int(period), float(value)) for period, value in zip(periods[last], returns, strict=True)]
