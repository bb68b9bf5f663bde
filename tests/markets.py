"""Markets for tests."""

from __future__ import annotations

from ktrdr.data.bars import Bars
from ktrdr.data.market import Market


def daily(bars: Bars) -> Market:
    """One series of daily bars, under the name that the tests' strategies use."""
    return Market("1d", {("NASDAQ", "1d"): bars})
