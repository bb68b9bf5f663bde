"""The assessor that is a language model. It is asked before the holdout is opened, and gives no verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry

from ktrdr.agents.conversations import converse
from ktrdr.agents.language_models import ASSESS
from ktrdr.agents.prompts import ASSESSOR, prompt
from ktrdr.agents.workbench import Workbench
from ktrdr.domain.fingerprints import canonical_json
from ktrdr.domain.sessions import AgentSession
from ktrdr.domain.texts import printable

FIGURES = 4
Sentence = Annotated[str, Field(min_length=1, max_length=600)]


class Opinion(BaseModel):
    """What is to be learnt from one experiment."""

    model_config = ConfigDict(extra="forbid")
    opinion: Literal["PROMISING", "DOUBTFUL", "REJECTED"] = Field(description="on validation figures alone")
    strengths: list[Sentence] = Field(max_length=8)
    weaknesses: list[Sentence] = Field(max_length=8)
    hypotheses: list[Sentence] = Field(max_length=5, description="what one further strategy could test")
    next_suggestions: list[Sentence] = Field(max_length=8)
    lesson: Annotated[str, Field(min_length=1, max_length=1000)]

    def to_json(self) -> dict[str, Any]:
        """What is kept: text without characters that nobody can see."""
        return {name: _plain(value) for name, value in self.model_dump().items()}


async def opinion_of(session: AgentSession, bench: Workbench) -> dict[str, Any]:
    """The model's opinion of a session, under its name.

    Only validation figures are sent. Raises StepFailed: ASSESS_FAILED when the model returns no opinion
    that can be used, else the provider's.
    """
    assert bench.llm is not None
    failed = [gate["gate"] for gate in session.gates if not gate["passed"]]

    def check(found: Opinion) -> Opinion:
        if failed and found.opinion != "REJECTED":
            raise ModelRetry(f"The gate '{failed[0]}' has failed: the opinion can only be REJECTED.")
        return found

    found = await converse(
        bench,
        ASSESS,
        answer=Opinion,
        instructions=prompt(ASSESSOR),
        question=_question(session, len(bench.operation.request.get("known_trials", []))),
        failure="ASSESS_FAILED",
        check=check,
    )
    return {**found.to_json(), "assessor": bench.llm.name}


def _question(session: AgentSession, trials: int) -> str:
    """The experiment as JSON. What is of a later segment than validation has no name here."""
    training, validation = session.training_result or {}, session.backtest_result or {}
    return canonical_json(
        {
            "brief": session.brief,
            "dataset": session.dataset,
            "experiments_before": trials,
            "strategy": session.strategy_config,
            "research_notes": session.research_notes,
            "training": _figures(training.get("metrics", {})),
            "validation": None
            if not validation
            else {
                "bars": validation.get("bars"),
                "metrics": _figures(validation.get("metrics", {})),
                "exit_reasons": validation.get("exit_reasons"),
            },
            "gates": [dict(gate) for gate in session.gates],
        }
    )


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure that is one number, short; curves, tables and files are left out."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, bool | int):
            found[name] = value
        elif isinstance(value, float):
            found[name] = float(f"{value:.{FIGURES}g}")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [one for text in value if (one := printable(text).strip())]
    return printable(value).strip()
