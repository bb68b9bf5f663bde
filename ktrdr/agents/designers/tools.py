"""What a designing model may ask. Answers are the same however often a design is begun anew: they are made
of the session's request, of rows that never change, and of the data that its fingerprint names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ktrdr.agents.designers.experiments import MAX_SHOWN, chosen, whole
from ktrdr.data.catalog import Catalog
from ktrdr.data.child import ask
from ktrdr.domain.errors import DatasetCorrupted, DatasetNotFound, InvalidInput
from ktrdr.domain.fingerprints import canonical_json, finite
from ktrdr.domain.grammar.faults import Fault, choices, fault
from ktrdr.domain.grammar.indicators import ALIASES, CATALOGUE, READS_BARS, SOURCES
from ktrdr.domain.grammar.schema import json_schema
from ktrdr.domain.memory import HypothesisStatus
from ktrdr.domain.strategies import Strategy, parse_strategy
from ktrdr.domain.texts import first_words, not_plain
from ktrdr.persistence.ledger import RecordedTrial
from ktrdr.persistence.unit_of_work import Database

MAX_ANSWER = 8 * 1024  # bytes
MAX_STRATEGY = 64 * 1024  # bytes
MAX_ERRORS = 20
MAX_CHOICES = 40
MAX_IDEAS = 20


@dataclass(frozen=True)
class Idea:
    """A hypothesis with the status that it had when the session was triggered."""

    hypothesis_id: int
    statement: str
    status: str

    @property
    def is_open(self) -> bool:
        return self.status == HypothesisStatus.OPEN.value


@dataclass(frozen=True)
class Bench:
    """What one design knows."""

    dataset: str
    brief: str
    catalog: Catalog
    trials: Sequence[RecordedTrial]
    ideas: Sequence[Idea]

    async def list_indicators(self) -> dict[str, Any]:
        """Every indicator with its parameters (and their defaults), its outputs, and what it reads."""
        found = {
            name: {"parameters": dict(parameters), "outputs": list(outputs)}
            | ({"reads": READS_BARS[name]} if name in READS_BARS else {})
            for name, (parameters, outputs) in CATALOGUE.items()
        }
        return _bounded({"sources": list(SOURCES), "short_names": dict(ALIASES), "indicators": found})

    async def describe(self, part: str = "Strategy") -> dict[str, Any]:
        """JSON Schema of one part of the grammar, such as Strategy, Labels, Model, Training or Decisions.

        Args:
            part: the part's name; the answer to one that is not known names all of them.
        """
        schema = json_schema()
        schema["$defs"].pop("Indicator")  # list_indicators says the same in fewer words
        parts = {
            "Strategy": {name: one for name, one in schema.items() if name != "$defs"},
            **schema["$defs"],
        }
        if part not in parts:
            return {"error": f"there is no part '{part[:80]}'"} | choices(part, parts)
        return _bounded({part: parts[part], "parts": sorted(parts)})

    async def data_summary(self) -> dict[str, Any]:
        """What the bars of development are like: dates, returns, volatility, and what repeats itself."""
        asked = {"key": self.dataset}
        return _bounded(await ask("summary", self.catalog.root, asked, doing="Summing up the data"))

    async def past_experiments(self, words: str = "", limit: int = MAX_SHOWN) -> dict[str, Any]:
        """Earlier strategies with their validation results and lessons: best, worst, most relevant.

        Args:
            words: what they should be about; the brief when left out.
            limit: how many at most.
        """
        found = chosen(self.trials, self.dataset, words[:500] or self.brief, limit)
        return _bounded({"tried": len(self.trials), **found}, shorten="relevant")

    async def experiment(self, experiment_id: int) -> dict[str, Any]:
        """One earlier experiment with its whole strategy.

        Args:
            experiment_id: its id, as `past_experiments` gives it.
        """
        for trial in self.trials:
            if trial.trial_id == experiment_id:
                return _bounded(whole(trial))
        return {"error": f"there is no experiment {experiment_id}; past_experiments gives their ids"}

    async def hypotheses(self) -> dict[str, Any]:
        """What earlier sessions thought worth testing; the open ones first, the newest of them first."""
        ordered = sorted(self.ideas, key=lambda one: (one.is_open, one.hypothesis_id), reverse=True)
        shown = [
            {"id": one.hypothesis_id, "status": one.status, "statement": first_words(one.statement, 500)}
            for one in ordered[:MAX_IDEAS]
        ]
        return _bounded({"known": len(self.ideas), "hypotheses": shown}, shorten="hypotheses")

    async def validate_strategy(self, strategy: dict[str, Any]) -> dict[str, Any]:
        """Whether a strategy can be run on these data, with every error by its path.

        Args:
            strategy: the whole strategy in grammar 3.0.
        """
        found, errors = await self.checked(strategy)
        return {"valid": True} if found is not None else errors_shown(errors)

    async def checked(self, strategy: Mapping[str, Any]) -> tuple[Strategy | None, Sequence[Fault]]:
        """The strategy, or what is wrong with it, by the validator that everybody uses."""
        return await asyncio.to_thread(self._checked, strategy)

    def _checked(self, strategy: Mapping[str, Any]) -> tuple[Strategy | None, Sequence[Fault]]:
        refused = [fault(path, why) for path, why in not_plain(strategy)]
        if refused:
            return None, refused
        if finite(strategy) != strategy:
            return None, [fault("", "a number is not finite")]
        if len(canonical_json(strategy).encode()) > MAX_STRATEGY:
            return None, [fault("", f"a strategy has at most {MAX_STRATEGY:,} bytes")]
        try:
            found = parse_strategy(strategy)
            own = self.catalog.dataset_of(found).key
        except InvalidInput as invalid:
            errors: Any = invalid.details.get("errors")
            return None, errors or [fault("", invalid.message)]
        if own != self.dataset:
            spec = self.catalog.get(self.dataset)
            why = f"the research is on '{spec.symbol}' at {spec.timeframe}; this would be judged on '{own}'"
            return None, [fault("training_data", why)]
        return found, []


async def bench_of(
    database: Database, catalog: Catalog, request: Mapping[str, Any], dataset: str, brief: str
) -> Bench:
    """What a session's request fixed when it was triggered: which experiments and hypotheses it knows.

    Experiments on data whose development reaches into this data set's holdout are left out: what they
    came to says something of those days.
    """
    statuses = {int(name): str(status) for name, status in request.get("known_hypotheses", {}).items()}
    async with database.read() as tx:
        trials = await tx.ledger.by_ids([int(one) for one in request.get("known_trials", [])])
        known = await tx.hypotheses.by_ids(sorted(statuses))
    sealed = catalog.get(dataset).holdout_start
    trials = [one for one in trials if _ends_before(catalog, one.dataset, sealed)]
    ideas = [Idea(one.hypothesis_id, one.statement, statuses[one.hypothesis_id]) for one in known]
    return Bench(dataset, brief, catalog, trials, ideas)


def _ends_before(catalog: Catalog, dataset: str, sealed: date) -> bool:
    try:
        return catalog.get(dataset).development_end < sealed
    except (DatasetNotFound, DatasetCorrupted):  # it is gone, and nobody can say any more
        return False


def errors_shown(errors: Sequence[Fault]) -> dict[str, Any]:
    """What is wrong, as a model is told it: the first errors, and how many there are."""
    first = [
        {name: value[:MAX_CHOICES] if name == "allowed" else value for name, value in one.items()}
        for one in errors[:MAX_ERRORS]
    ]
    return _bounded({"valid": False, "count": len(errors), "errors": first}, shorten="errors")


def _bounded(answer: dict[str, Any], *, shorten: str = "") -> dict[str, Any]:
    """An answer of at most MAX_ANSWER bytes: the named list loses its end; what has none is refused."""
    answer = finite(answer)
    while (size := len(canonical_json(answer).encode())) > MAX_ANSWER:
        if not answer.get(shorten):
            return {"error": f"the answer would have {size:,} bytes; at most {MAX_ANSWER:,} are sent"}
        answer = {**answer, shorten: answer[shorten][:-1], "cut": True}
    return answer
