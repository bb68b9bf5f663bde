"""The designer that is a language model. All it can do is ask `tools` and return a strategy."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry

from ktrdr.agents.conversations import converse
from ktrdr.agents.designers.tools import Bench, bench_of, errors_shown
from ktrdr.agents.language_models import DESIGN
from ktrdr.agents.prompts import DESIGNER, prompt
from ktrdr.agents.workbench import Workbench
from ktrdr.domain.fingerprints import canonical_json
from ktrdr.domain.sessions import AgentSession
from ktrdr.domain.strategies import Strategy
from ktrdr.domain.texts import printable

NOTHING_ASKED = "(none: what is worth a try is yours to decide)"


class DesignedStrategy(BaseModel):
    """The strategy, and why it is worth a try."""

    model_config = ConfigDict(extra="forbid")
    strategy: dict[str, object] = Field(description="one strategy in grammar 3.0")
    research_notes: str = Field(max_length=8000, description="why it is worth a try, for a person")
    lessons_used: list[int] = Field([], max_length=50, description="ids of experiments it was learnt from")
    tests_hypothesis: int | None = Field(None, description="id of the open hypothesis that it tests")


@dataclass(frozen=True)
class ModelDesign:
    """What a session keeps of a design."""

    strategy: Strategy
    research_notes: str
    tests_hypothesis: int | None


async def design_with_model(session: AgentSession, bench: Workbench) -> ModelDesign:
    """A strategy that the one validator accepts.

    Raises StepFailed: DESIGN_FAILED when the model returns none in so many tries, else the provider's.
    """
    request = bench.operation.request
    known = await bench_of(bench.database, bench.catalog, request, session.dataset, session.brief)

    async def check(found: DesignedStrategy) -> DesignedStrategy:
        why = await _fault(known, found)
        if why is not None:
            raise ModelRetry(why)
        return found

    found = await converse(
        bench,
        DESIGN,
        answer=DesignedStrategy,
        instructions=prompt(DESIGNER),
        question=_question(known),
        failure="DESIGN_FAILED",
        tools=(
            known.list_indicators,
            known.describe,
            known.data_summary,
            known.past_experiments,
            known.experiment,
            known.hypotheses,
            known.validate_strategy,
        ),
        check=check,
    )
    strategy, _ = await known.checked(found.strategy)
    assert strategy is not None
    return ModelDesign(
        strategy=strategy,
        research_notes=_notes(known, found, bench.llm.name if bench.llm else ""),
        tests_hypothesis=found.tests_hypothesis,
    )


async def _fault(known: Bench, found: DesignedStrategy) -> str | None:
    """Why an answer can't be used, in words for the model."""
    strategy, errors = await known.checked(found.strategy)
    if strategy is None:
        return f"The strategy is not valid: {canonical_json(errors_shown(errors))}"
    tested = found.tests_hypothesis
    if tested is not None and tested not in {one.hypothesis_id for one in known.ideas if one.is_open}:
        return f"tests_hypothesis: there is no open hypothesis {tested}; `hypotheses` lists them. Else null."
    return None


def _question(known: Bench) -> str:
    spec = known.catalog.get(known.dataset)
    ideas = sum(one.is_open for one in known.ideas)
    return (
        f"Brief: {known.brief.strip() or NOTHING_ASKED}\n\n"
        f"Data set: '{known.dataset}', symbol '{spec.symbol}' at {spec.timeframe}.\n"
        f"Experiments before this one: {len(known.trials)}. Open hypotheses: {ideas}."
    )


def _notes(known: Bench, found: DesignedStrategy, model: str) -> str:
    """The model's notes, and beneath them what it says it made use of."""
    lines = [printable(found.research_notes).strip(), f"Designed by {model}."]
    tried = {one.trial_id for one in known.trials}
    used = [str(one) for one in dict.fromkeys(found.lessons_used) if one in tried]
    if used:
        lines.append(f"Learnt from experiment{'s' if len(used) > 1 else ''} {', '.join(used)}.")
    if found.tests_hypothesis is not None:
        statement = next(o.statement for o in known.ideas if o.hypothesis_id == found.tests_hypothesis)
        lines.append(f"Tests hypothesis {found.tests_hypothesis}: {statement}")
    return "\n".join(lines)
