"""What a backtest is run on: a model's signals beside the prices of their bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ktrdr.backtesting.prices import DatedPrices, Targets, align, place_targets
from ktrdr.checkpointing.artifacts import read_generation
from ktrdr.checkpointing.schemas import Manifest
from ktrdr.data.bars import development_bars
from ktrdr.data.loading import load_market
from ktrdr.data.market import Market
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.market import Segment
from ktrdr.domain.strategies import Strategy
from ktrdr.domain.timeranges import parse_timerange
from ktrdr.training.signals import Signal, holdout_signals, validation_signals
from ktrdr.workers.jobs.files import unpack
from ktrdr.workers.runner import Run

MIN_BARS = 2  # a return needs two closes


@dataclass(frozen=True, eq=False)
class Traded:
    """`bars` of one symbol, or a panel of several, and their `targets`; what is simulated is the
    segment [first, last). `symbols` are those that have a bar in it, in the strategy's order. `watched`:
    the training stopped by these very rows, so that their figures flatter."""

    symbols: tuple[str, ...]
    bars: DatedPrices
    targets: Targets
    first: int
    last: int
    watched: bool = False

    def within(self, timerange: str | None) -> Traded:
        """Only the bars that open on those days. Raises StepFailed when too few do."""
        if timerange is None:
            return self
        days, first, last = parse_timerange(timerange), self.first, self.last
        if days.begin is not None:
            first = max(first, int(np.searchsorted(self.bars.time, days.begin)))
        if days.end is not None:
            last = min(last, int(np.searchsorted(self.bars.time, days.end)))
        if last - first < MIN_BARS:
            raise StepFailed(
                "NOT_ENOUGH_DATA",
                f"{max(0, last - first)} bars of the validation segment lie in {timerange}; at least "
                f"{MIN_BARS} are needed. Name more days.",
            )
        return replace(self, first=first, last=last)


def load_traded(run: Run, strategy: Strategy, segment: Segment) -> Traded:
    """Of the model that the request names; recomputed on resume, all of it causal."""
    tensors, manifest = unpack(
        read_generation(run.artifacts, Manifest.from_json(run.operation.request["model"]))
    )
    market = load_market(run.catalog, strategy, with_holdout=segment is Segment.HOLDOUT)
    if segment is Segment.VALIDATION:
        found = combine(market, validation_signals(tensors, manifest, market, strategy))
        return replace(found, watched=_watched(manifest))
    spec = run.catalog.dataset_of(strategy)
    firsts = {
        symbol: development_bars(market.bars(symbol, market.base), spec, market.base)
        for symbol in strategy.training_data.symbols.all
    }
    return combine(market, holdout_signals(tensors, manifest, market, strategy, firsts))


def _watched(manifest: Mapping[str, Any]) -> bool:
    """Whether rows that are predicted are among those that the training stopped by."""
    pairs = [pair for fold in manifest["folds"] for pair in zip(fold["block"], fold["watched"], strict=False)]
    return any(max(block[0], seen[0]) < min(block[1], seen[1]) for block, seen in pairs)


def combine(market: Market, signals: tuple[Signal, ...]) -> Traded:
    """One symbol on its own bars; several on the union of their bars' times."""
    if not signals:
        raise StepFailed("NOT_ENOUGH_DATA", "No symbol has a bar in this segment. Import more bars.")
    symbols = tuple(one.symbol for one in signals)
    series = [market.bars(one, market.base) for one in symbols]
    if len(signals) == 1:
        (one,), (bars,) = signals, series
        return Traded(symbols, bars, one.targets, one.first, one.last)
    panel = align(series)
    first = min(int(bars.time[one.first]) for one, bars in zip(signals, series, strict=True))
    last = max(int(bars.time[one.last - 1]) for one, bars in zip(signals, series, strict=True))
    return Traded(
        symbols,
        panel,
        place_targets(panel, series, [one.targets for one in signals]),
        int(np.searchsorted(panel.time, first)),
        int(np.searchsorted(panel.time, last, side="right")),
    )
