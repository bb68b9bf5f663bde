"""What one strategy sees of the market: every series that it names, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ktrdr.data.bars import Bars
from ktrdr.domain.errors import DatasetNotFound


@dataclass(frozen=True, eq=False)
class Market:
    """Bars by (symbol, timeframe). `base` is the timeframe that decisions are made on."""

    base: str
    series: Mapping[tuple[str, str], Bars]

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """One series. Raises DatasetNotFound naming those there are."""
        found = self.series.get((symbol, timeframe))
        if found is None:
            there = ", ".join(f"{one} at {other}" for one, other in sorted(self.series)) or "nothing"
            raise DatasetNotFound(
                f"No bars of '{symbol}' at {timeframe} were loaded. Loaded: {there}. "
                "Name the symbol and the timeframe in the strategy's training_data."
            )
        return found
