"""How good the networks are on rows that they did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ktrdr.training import metrics
from ktrdr.training.model import load_network, predict
from ktrdr.training.problem import Fold, Problem
from ktrdr.training.splits import Ranges, row_count

Tensors = Mapping[str, torch.Tensor]


def evaluate(problem: Problem, networks: Tensors) -> dict[str, Any]:
    """Plain JSON. `test` is of rows that nothing has looked at, pooled over the folds; `validation` of
    those that were watched while learning, which flatters. What stands beside them is of the test, or
    of the validation where there is no test."""
    test = [(fold, ranges) for fold in problem.folds if row_count(ranges := _unseen(problem, fold))]
    watched = [(fold, fold.watched) for fold in problem.folds if row_count(fold.watched)]
    found = {
        "test": _pooled(problem, networks, test),
        "validation": _pooled(problem, networks, watched),
    }
    judged = test or watched
    pooled = found["test"] or found["validation"] or {}
    return {
        **{name: pooled.get(name) for name in ("balanced_accuracy", "accuracy", "directional_accuracy")},
        "chance": 1.0 / (problem.strategy.decisions.num_classes or 2),
        "out_of_fold_rows": pooled.get("rows"),
        "directional_rows": pooled.get("directional_rows"),
        **_spread(problem, networks, judged),
        "networks": len(problem.fits),
        "epochs": problem.total_epochs,
        **found,
    }


def _unseen(problem: Problem, fold: Fold) -> Ranges:
    """The fold's block as far as its labels are known; nothing where all of it was watched."""
    known = problem.known(fold.block)
    return () if fold.watched and known == problem.known(fold.watched) else known


def _pooled(
    problem: Problem, networks: Tensors, rows: Sequence[tuple[Fold, Ranges]]
) -> dict[str, Any] | None:
    if not rows:
        return None
    means = [torch.stack(_members(problem, networks, fold, ranges)).mean(dim=0) for fold, ranges in rows]
    truths = [problem.targets(fold, ranges) for fold, ranges in rows]
    if problem.classifies:
        names, directions = problem.labelling.classes, problem.labelling.directions
        return metrics.classification(torch.cat(truths), torch.cat(means), names, directions)
    folds = [fold for fold, _ in rows]
    truth, guess = (_returns(folds, one) for one in (truths, means))
    centre = sum(fold.edges[0] * len(one) for fold, one in zip(folds, truths, strict=True)) / len(truth)
    found = metrics.regression(truth, guess, centre)
    return found | {"balanced_accuracy": metrics.balanced_accuracy(truth > 0.0, guess > 0.0)}


def _spread(problem: Problem, networks: Tensors, rows: Sequence[tuple[Fold, Ranges]]) -> dict[str, Any]:
    """Per fold, and per network, to tell luck from edge."""
    folds, members = [], []
    for fold, ranges in rows:
        truth = problem.targets(fold, ranges)
        predictions = _members(problem, networks, fold, ranges)
        members += [_balanced(problem, fold, truth, one) for one in predictions]
        folds.append(_balanced(problem, fold, truth, torch.stack(predictions).mean(dim=0)))
    return {
        "fold_balanced_accuracy": folds,
        "member_balanced_accuracy_min": min(members, default=None),
        "member_balanced_accuracy_max": max(members, default=None),
    }


def _members(problem: Problem, networks: Tensors, fold: Fold, ranges: Ranges) -> list[torch.Tensor]:
    """What each network of the fold says of the rows."""
    samples = problem.samples(fold, ranges)
    own = [at for at, fit in enumerate(problem.fits) if problem.folds[fit.fold] is fold]
    return [
        predict(load_network(networks, at, problem.strategy), samples, classes=problem.classifies)
        for at in own
    ]


def _balanced(problem: Problem, fold: Fold, truth: torch.Tensor, predicted: torch.Tensor) -> float:
    if problem.classifies:
        return metrics.balanced_accuracy(truth, predicted.argmax(dim=1))
    return metrics.balanced_accuracy(_returns([fold], [truth]) > 0.0, _returns([fold], [predicted]) > 0.0)


def _returns(folds: Sequence[Fold], standardised: Sequence[torch.Tensor]) -> torch.Tensor:
    """Back from deviations of each fold's training rows."""
    pairs = zip(folds, standardised, strict=True)
    return torch.cat([one.double() * fold.edges[1] + fold.edges[0] for fold, one in pairs])
