"""What a backtest is run on: a model's signals beside the prices of their bars."""

from __future__ import annotations

from dataclasses import dataclass

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
from ktrdr.training.signals import Signal, holdout_signals, validation_signals
from ktrdr.workers.jobs.files import unpack
from ktrdr.workers.runner import Run


@dataclass(frozen=True, eq=False)
class Traded:
    """`bars` of one symbol, or a panel of several, and their `targets`; what is simulated is the
    segment [first, last). `symbols` are those that have a bar in it, in the strategy's order."""

    symbols: tuple[str, ...]
    bars: DatedPrices
    targets: Targets
    first: int
    last: int


def load_traded(run: Run, strategy: Strategy, segment: Segment) -> Traded:
    """Of the model that the request names; recomputed on resume, all of it causal."""
    tensors, manifest = unpack(
        read_generation(run.artifacts, Manifest.from_json(run.operation.request["model"]))
    )
    market = load_market(run.catalog, strategy, with_holdout=segment is Segment.HOLDOUT)
    if segment is Segment.VALIDATION:
        return combine(market, validation_signals(tensors, manifest, market, strategy))
    spec = run.catalog.dataset_of(strategy)
    firsts = {
        symbol: development_bars(market.bars(symbol, market.base), spec, market.base)
        for symbol in strategy.training_data.symbols.all
    }
    return combine(market, holdout_signals(tensors, manifest, market, strategy, firsts))


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
