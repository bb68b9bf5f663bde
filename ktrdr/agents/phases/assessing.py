"""ASSESSING: open the sealed holdout once, if the gates were passed, and judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ktrdr.agents.assessor import assess, with_opinion
from ktrdr.agents.phases.training import backtest_of
from ktrdr.agents.workbench import Step, Workbench
from ktrdr.domain.fingerprints import sha256_of
from ktrdr.domain.market import Segment
from ktrdr.domain.operations import holdout_id
from ktrdr.domain.sessions import AgentSession, Phase


async def run(session: AgentSession, bench: Workbench) -> Step:
    """Write the verdict, and with it the fingerprint of the whole research."""
    opinion = await _opinion(session, bench)
    session, exam = await _sit_exam(session, bench)
    assessment = with_opinion(assess(session, exam), opinion)
    after = replace(session, phase=Phase.COMPLETED, assessment=assessment)
    return Step(replace(after, result_fingerprint=fingerprint(after, exam)))


async def _opinion(session: AgentSession, bench: Workbench) -> dict[str, Any] | None:
    """What a language model thinks of the validation results; None without one.

    It is asked before the holdout is opened. A repeat after a crash is given the journal's answer.
    """
    if bench.llm is None:
        return None
    from ktrdr.agents.opinions import opinion_of  # only now: its library is optional

    return await opinion_of(session, bench)


async def _sit_exam(session: AgentSession, bench: Workbench) -> tuple[AgentSession, dict[str, Any] | None]:
    """The holdout's result; None when a gate failed or the holdout has no opening left."""
    if not all(gate["passed"] for gate in session.gates):
        return session, None
    if session.holdout_operation_id is None:
        opened = await _open_holdout(session, bench)
        if opened is None:
            return session, None
        session = opened
    assert session.holdout_operation_id is not None
    return session, dict(await bench.result_of(session.holdout_operation_id, Phase.ASSESSING))


async def _open_holdout(session: AgentSession, bench: Workbench) -> AgentSession | None:
    """Count the opening before anything is computed. A repeat finds the session's own row."""
    spec = bench.catalog.get(session.dataset)
    key = spec.holdout_key(bench.catalog.sha256(spec.key))
    async with bench.database.transaction() as tx:
        opening = await tx.ledger.open(key, session.operation_id, sha256_of(session.strategy_config))
    if opening is None:
        return None
    numbered = replace(session, holdout_opening={"opening": opening.opening, "level": opening.level})
    child = backtest_of(numbered, Segment.HOLDOUT, holdout_id(session.operation_id))
    opened = replace(numbered, holdout_operation_id=child.operation_id)
    await bench.commit(Step(opened, (child,)))
    return opened


def fingerprint(session: AgentSession, exam: dict[str, Any] | None) -> str:
    """SHA-256 over strategy, weights, trades, metrics and verdict: equal for equal research.

    Ids, attempts and times are left out; they differ between runs that found the same thing.
    """
    training = session.training_result or {}
    return sha256_of(
        {
            "strategy": session.strategy_config,
            "weights": training.get("weights_sha256"),
            "training": training.get("metrics"),
            "validation": _figures(session.backtest_result),
            "holdout": _figures(exam),
            "assessment": session.assessment,
        }
    )


def _figures(result: Any) -> dict[str, Any] | None:
    if result is None:
        return None
    return {name: result.get(name) for name in ("metrics", "trades_sha256", "equity_sha256", "exam")}
