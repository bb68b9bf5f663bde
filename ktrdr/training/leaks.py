"""The leak check: change what nobody could have known, compute everything anew, and see what moves.

Nothing may move, not by a bit. At a bar's close that is every bar that closes later, in every series,
and what may not move is each feature, reading and target up to that bar. For a fold it is every bar
from the first row that it does not learn from, and what may not move is all that it learns from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ktrdr.data.catalog import Catalog
from ktrdr.data.features import compute_features, first_warm, readings
from ktrdr.data.market import Market
from ktrdr.data.perturbations import PERTURBATIONS, SAME_LENGTH
from ktrdr.domain.leaks import Leak, LeakKind, LeakReport, gathered
from ktrdr.domain.strategies import Strategy
from ktrdr.training.comparisons import Columns, moved, trainings_differ
from ktrdr.training.loop import train
from ktrdr.training.problem import Fold, Problem, build_problem
from ktrdr.training.samples import window_length
from ktrdr.training.signals import holdout_signals, validation_signals
from ktrdr.training.splits import Ranges
from ktrdr.training.worlds import World

MOMENTS = 16


@dataclass(frozen=True, eq=False)
class Model:
    """Networks to ask for targets, what a backtest knows of them, and the strategy they were made for."""

    tensors: Mapping[str, torch.Tensor]
    manifest: Mapping[str, Any]
    strategy: Strategy
    trained: bool = True


def find_leaks(
    catalog: Catalog, strategy: Strategy, model: Model | None = None, *, seed: int = 0, moments: int = MOMENTS
) -> LeakReport:
    """What a strategy sees before its time. Without a model its networks are made here, in one epoch.

    `moments` bars are looked at besides those that always are. Raises InvalidInput when a series is not
    there, and StepFailed when the strategy can't be trained on the bars there are.
    """
    world = World.load(catalog, strategy, seed)
    problem = build_problem(world.market, strategy, seed)
    model = model or _hasty(problem, seed)
    at = world.moments(moments)
    found = [*_before_its_time(world, model, at), *_learnt_too_much(world, problem)]
    return LeakReport(
        leaks=gathered(found),
        bars=len(world.bars(world.symbols[0])),
        moments=len(at),
        features=len(problem.features),
        folds=len(problem.folds),
        networks=len(model.manifest["folds"]) * int(model.manifest["ensemble"]),
        trained=model.trained,
        perturbations=tuple(PERTURBATIONS),
    )


def _hasty(problem: Problem, seed: int) -> Model:
    """Networks of one epoch whose every opinion is a target: they need not be good, only attentive."""
    written = problem.strategy
    training = written.training.model_copy(update={"epochs": 1, "ensemble": 1, "device": "cpu"})
    costs = written.decisions.cost_model.model_copy(update={"round_trip_cost": 0.0})
    decisions = written.decisions.model_copy(update={"confidence_threshold": 0.0, "cost_model": costs})
    strategy = written.model_copy(update={"training": training, "decisions": decisions})
    quick = Problem(
        strategy, problem.series, problem.labelling, problem.folds, problem.fits[:: written.training.ensemble]
    )
    trained = train(quick, None, lambda *_: True)
    assert trained is not None
    return Model(trained.tensors, trained.manifest, strategy, trained=False)


def _before_its_time(world: World, model: Model, moments: list[int]) -> Iterator[Leak]:
    """Features, readings and targets up to each bar, while everything that closes later is changed."""
    lead = world.bars(world.symbols[0])
    reach = window_length(world.strategy) - 1
    firsts = {
        symbol: first_warm(compute_features(world.market, symbol, world.strategy), 0) + reach
        for symbol in world.symbols
    }
    before = [*_seen(world, world.market), *_targets(world, world.market, model, firsts)]
    for at in moments:
        moment = int(lead.time[at]) + world.step
        for perturbation in PERTURBATIONS:
            other = world.changed_after(moment, perturbation)
            after = [*_seen(world, other)]
            # Fewer rows are multiplied in other blocks, which a last bit may show.
            if at >= firsts[world.symbols[0]] and perturbation in SAME_LENGTH:
                after += _targets(world, other, model, firsts)
            for one, there in zip(before, after, strict=False):
                known = world.known(one.symbol, moment)
                yield from moved(one, there, known, perturbation)


def _seen(world: World, market: Market) -> Iterator[Columns]:
    """What is computed of every bar of every symbol."""
    for symbol in world.symbols:
        time = world.bars(symbol).time
        matrix = compute_features(market, symbol, world.strategy)
        yield Columns(LeakKind.FEATURE, symbol, time, matrix.names, matrix.values)
        if world.strategy.model.learn_memberships:
            read = readings(market, symbol, world.strategy)
            yield Columns(LeakKind.READING, symbol, time, read.names, read.values)


def _targets(world: World, market: Market, model: Model, firsts: Mapping[str, int]) -> Iterator[Columns]:
    """Of each symbol from its first warm row on: as in a holdout, and as in a validation."""
    given = (model.tensors, model.manifest, market, model.strategy)
    signals = {"the final networks": holdout_signals(*given, firsts)}
    signals["each fold's networks"] = validation_signals(*given)
    for name, found in signals.items():
        for one in found:
            time = world.bars(one.symbol).time
            yield Columns(LeakKind.TARGET, one.symbol, time, (name,), one.targets[:, None])


def _learnt_too_much(world: World, problem: Problem) -> Iterator[Leak]:
    """What each fold learns from, while everything from the first row that it does not is changed."""
    end = world.learning_ends()
    for perturbation in SAME_LENGTH:
        other = build_problem(world.changed_after(end, perturbation), world.strategy, world.seed)
        for number, fold in enumerate(problem.folds):
            for ranges in (fold.train, fold.watched):
                yield from trainings_differ(problem, other, number, ranges, perturbation, end)
        for number, fold in enumerate(problem.folds):
            for opening, learnt in _boundaries(problem, fold):
                other = build_problem(world.changed_from(opening, perturbation), world.strategy, world.seed)
                for ranges in learnt:
                    yield from trainings_differ(problem, other, number, ranges, perturbation, opening)


def _boundaries(problem: Problem, fold: Fold) -> Iterator[tuple[int, tuple[Ranges, ...]]]:
    """When the first row opens that is not learnt from, and what is learnt before it.

    The rows that are watched begin in each symbol at a time of its own; the last of these counts.
    """
    watched, block = _openings(problem, fold.watched), _openings(problem, fold.block)
    unseen = [*([max(watched)] if watched else []), *block[:1]]
    if unseen:
        yield min(unseen), (fold.train,)
    if watched and block and not _predicts_what_it_watches(problem.strategy):
        yield block[0], (fold.train, fold.watched)


def _openings(problem: Problem, ranges: Ranges) -> list[int]:
    """When the first row opens, of each symbol that has one."""
    pairs = zip(problem.series, ranges, strict=True) if ranges else ()
    return [int(one.time[first]) for one, (first, last) in pairs if last > first]


def _predicts_what_it_watches(strategy: Strategy) -> bool:
    """Without a test share the watched rows are all there is to predict, and what is said of them says so."""
    training = strategy.training
    return training.walk_forward is None and (training.data_split is None or training.data_split.test == 0.0)
