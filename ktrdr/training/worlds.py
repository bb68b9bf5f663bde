"""The market of a strategy, and the others that begin like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ktrdr.data.bars import Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import Sources, development_end, load_sources, market_of, sources_of
from ktrdr.data.market import Market
from ktrdr.data.perturbations import changed
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.market import TIMEFRAME_SECONDS, midnight
from ktrdr.domain.strategies import Strategy

FIRST_BARS = tuple(4**one for one in range(5))  # while indicators warm up
GAPS = 3


@dataclass(frozen=True, eq=False)
class World:
    """What is stored of every series that a strategy reads, holdout and all, and its market.

    A change is made to what is stored, before a holdout is cut off and a higher timeframe is made: so
    it passes through all that a mistake could be in.
    """

    strategy: Strategy
    sources: Sources
    stored: Mapping[str, Bars]
    development_end: int
    market: Market
    seed: int

    @classmethod
    def load(cls, catalog: Catalog, strategy: Strategy, seed: int) -> World:
        """Raises InvalidInput when a series is not there."""
        sources = sources_of(catalog, strategy)
        stored, end = load_sources(catalog, sources), development_end(sources)
        return cls(strategy, sources, stored, end, market_of(strategy, sources, stored, end), seed)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.strategy.training_data.symbols.all)

    @property
    def step(self) -> int:
        """Seconds of a bar that decisions are made on."""
        return TIMEFRAME_SECONDS[self.market.base]

    def bars(self, symbol: str) -> Bars:
        return self.market.bars(symbol, self.market.base)

    def known(self, symbol: str, moment: int) -> int:
        """How many of a symbol's bars have closed at a moment."""
        return int(np.searchsorted(self.bars(symbol).time + self.step, moment, side="right"))

    def changed_after(self, moment: int, perturbation: str) -> Market:
        """The market in which every bar is another one that has not closed at a moment."""
        firsts = {
            source.key: int(np.searchsorted(self._closes(source.key), moment, side="right"))
            for source in self.sources.values()
        }
        return self._changed(firsts, perturbation, moment)

    def changed_from(self, opening: int, perturbation: str) -> Market:
        """The market in which a row that opens at a moment is another one, and all that follows.

        A bar of the base timeframe or a finer one is changed when it opens no earlier: where symbols
        open at different minutes, the one before it is over when the row is decided on. A bar of a
        higher timeframe is changed when it has not closed by then.
        """
        firsts: dict[str, int] = {}
        for source in self.sources.values():
            coarser = TIMEFRAME_SECONDS[source.timeframe] > self.step
            times = self._closes(source.key) if coarser else self.stored[source.key].time
            firsts[source.key] = int(np.searchsorted(times, opening, side="right" if coarser else "left"))
        return self._changed(firsts, perturbation, opening)

    def learning_ends(self) -> int:
        """The moment from which on nothing is learnt from: the end of development, or of the date range."""
        wanted = self.strategy.training_data.date_range
        if wanted is None:
            return self.development_end
        after = midnight(wanted.end + timedelta(days=1))
        closes = [
            int(opened[-1]) + self.step
            for opened in (one.time[one.time < after] for one in map(self.bars, self.symbols))
            if len(opened)
        ]
        return min(self.development_end, max(closes, default=after))

    def moments(self, count: int) -> list[int]:
        """Bars of the first symbol at whose close the rest is changed, in order.

        One from each of `count` stretches of equal length, the first bars, those before the longest
        gaps, and the last but one.
        """
        time = self.bars(self.symbols[0]).time
        last = len(time) - 2
        if last < 0:
            return []
        random = np.random.default_rng(derive_seed(self.seed, "leak check moments"))
        edges = np.linspace(0, last + 1, count + 1).astype(int)
        picked = {int(random.integers(a, b)) for a, b in pairwise(edges) if b > a}
        gaps = np.argsort(-np.diff(time), kind="stable")[:GAPS]
        return sorted({0, last, *(one for one in (*FIRST_BARS, *gaps.tolist()) if one <= last)} | picked)

    def _changed(self, firsts: Mapping[str, int], perturbation: str, moment: int) -> Market:
        stored = dict(self._perturbed(firsts, perturbation, moment))
        return market_of(self.strategy, self.sources, stored, self.development_end)

    def _perturbed(
        self, firsts: Mapping[str, int], perturbation: str, moment: int
    ) -> Iterator[tuple[str, Bars]]:
        for key, bars in self.stored.items():
            random = np.random.default_rng(derive_seed(self.seed, "leak check", key, moment))
            yield key, changed(bars, firsts[key], perturbation, random)

    def _closes(self, key: str) -> NDArray[np.int64]:
        timeframe = next(one.timeframe for one in self.sources.values() if one.key == key)
        closes: NDArray[np.int64] = self.stored[key].time + TIMEFRAME_SECONDS[timeframe]
        return closes
