"""A designer that needs no key: optuna's tree-structured Parzen estimator over the grammar.

Imported by the child process only (`python -m ktrdr.agents.designers`): optuna is large, and the
backend is not to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ktrdr.agents.designers.grammar_space import LAYERS, NAMES, OSCILLATORS, Params, config_of, params_of
from ktrdr.agents.designers.proposals import Trial
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.market import DatasetSpec

STARTUP_TRIALS = 8  # before that many are known, proposals are drawn at random
MAX_REPEATS = 50  # how often a strategy that was tried before is passed over

SPACE: dict[str, BaseDistribution] = {
    "oscillator": CategoricalDistribution(tuple(OSCILLATORS)),
    "oscillator_period": IntDistribution(5, 30),
    "band": IntDistribution(15, 40, step=5),
    "fast_roc": IntDistribution(1, 10),
    "slow_roc": IntDistribution(15, 90),
    "trend_strength": CategoricalDistribution((False, True)),
    "horizon": IntDistribution(1, 20),
    "layers": CategoricalDistribution(tuple(LAYERS)),
    "dropout": FloatDistribution(0.0, 0.4),
    "learning_rate": FloatDistribution(0.0003, 0.01, log=True),
    "confidence": FloatDistribution(0.34, 0.5),
}


def propose(dataset: DatasetSpec, seed: int, trials: Sequence[Trial]) -> tuple[dict[str, Any], str]:
    """A strategy to try next and the notes on it; the same arguments, the same answer.

    `trials` are earlier strategies with their validation Sharpe ratios, in the order they were
    tried. Those without a finite value, or outside the space, teach nothing and are counted in the
    notes.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # optuna seeds numpy, which takes 32 bits.
    sampler = optuna.samplers.TPESampler(
        seed=derive_seed(seed, "tpe") % 2**32, n_startup_trials=STARTUP_TRIALS
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    known = [(params, trial.value) for trial in trials if (params := _params(trial)) is not None]
    learnt = [(params, value) for params, value in known if value is not None and math.isfinite(value)]
    for params, value in learnt:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, value=value))
    tried = [params for params, _ in known]
    chosen = _rounded(study.ask(SPACE).params)
    for _ in range(MAX_REPEATS):
        if chosen not in tried:
            break
        chosen = _rounded(study.ask(SPACE).params)
    return config_of(dataset, chosen), _notes(chosen, learnt, len(trials) - len(learnt))


def _params(trial: Trial) -> dict[str, Any] | None:
    """The trial's parameters when they lie in the space."""
    params = dict(trial.params) or params_of(trial.strategy_config)
    if params is None or set(params) != set(NAMES):
        return None
    try:
        optuna.trial.create_trial(params=params, distributions=SPACE, value=0.0)
    except ValueError:
        return None
    return {name: params[name] for name in NAMES}


def _rounded(params: Params) -> dict[str, Any]:
    """Numbers a person would write, so that a strategy read back gives the same parameters."""
    return {
        **{name: params[name] for name in NAMES},
        "dropout": round(params["dropout"], 2),
        "learning_rate": float(f"{params['learning_rate']:.3g}"),
        "confidence": round(params["confidence"], 2),
    }


def _notes(chosen: Params, learnt: Sequence[tuple[Params, float]], ignored: int) -> str:
    oscillator = f"{chosen['oscillator']}({chosen['oscillator_period']})"
    strength = ", and adx as a measure of the trend's strength" if chosen["trend_strength"] else ""
    hypothesis = (
        f"Hypothesis: {oscillator} read as oversold, neutral or overbought, beside the rate of change over "
        f"{chosen['fast_roc']} and {chosen['slow_roc']} bars{strength}, says something about the return "
        f"of the next {chosen['horizon']} bars."
    )
    network = (
        f"Network: {chosen['layers']} hidden units, dropout {chosen['dropout']}, learning rate "
        f"{chosen['learning_rate']}; a position is taken at a confidence of {chosen['confidence']} or more."
    )
    lines = [hypothesis, network]
    if len(learnt) < STARTUP_TRIALS:
        lines.append(
            f"Drawn at random from the session's seed: {len(learnt)} usable earlier trials are known, "
            f"and {STARTUP_TRIALS} are needed to search by results."
        )
    else:
        best = max(value for _, value in learnt)
        lines.append(
            f"Chosen by TPE from {len(learnt)} earlier trials, the best with a validation Sharpe ratio of "
            f"{best:.2f}. The best of many is flattered by the search; the exam corrects for it."
        )
    if ignored:
        lines.append(f"{ignored} earlier trials had no result or lie outside the space, and taught nothing.")
    return "\n".join(lines)
