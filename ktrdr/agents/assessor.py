"""The assessor that needs no key: a verdict by rule, and the sentences that explain it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ktrdr.domain.sessions import AgentSession, Verdict


def assess(session: AgentSession, exam: dict[str, Any] | None) -> dict[str, Any]:
    """The verdict of one session, as it is stored and shown.

    REJECTED when a gate failed (the holdout stays sealed); ESTABLISHED when the one-sided p-value of
    alpha against buy-and-hold is below this opening's level and the vetoes hold; else NOT_PROVEN.
    """
    failed = [reason for gate in session.gates for reason in gate["reasons"]]
    if failed:
        return _assessment(session, Verdict.REJECTED, None, _rejected(failed), failed)
    if exam is None:
        why = "the holdout has no opening left; a verdict needs bars that no session has seen"
        return _assessment(session, Verdict.NOT_PROVEN, None, f"Not proven: {why}.", [why])
    return _judged(session, exam)


def with_opinion(assessment: dict[str, Any], opinion: Mapping[str, Any] | None) -> dict[str, Any]:
    """The verdict by rule, with what a language model had to say of the validation results.

    Lists are joined, the rule's sentences first; verdict, summary and figures are the rule's alone.
    """
    if opinion is None:
        return assessment
    joined = {
        name: [*assessment[name], *opinion[name]] for name in ("strengths", "weaknesses", "next_suggestions")
    }
    own = {name: opinion[name] for name in ("opinion", "hypotheses", "lesson", "assessor")}
    return {**assessment, **joined, **own}


def _judged(session: AgentSession, exam: dict[str, Any]) -> dict[str, Any]:
    figures = exam["exam"]
    level = float((session.holdout_opening or {})["level"])
    p_value = float(figures["p_value"])
    significant = p_value < level
    held = bool(figures["vetoes"]["passed"])
    verdict = Verdict.ESTABLISHED if significant and held else Verdict.NOT_PROVEN
    weaknesses = [f"veto: {reason}" for reason in figures["vetoes"]["reasons"]]
    if not significant:
        weaknesses.insert(0, f"p = {p_value:.4f} is not below the level {level:.4f} of this opening")
        weaknesses.append(_power_of(figures["power"]))
    word = "Established" if verdict is Verdict.ESTABLISHED else "Not proven"
    summary = (
        f"{word}: alpha against buy-and-hold {figures['alpha_annual']:+.2%} a year on bars no step had seen, "
        f"one-sided p = {p_value:.4f} against a level of {level:.4f}."
    )
    return _assessment(session, verdict, figures, summary, weaknesses)


def _assessment(
    session: AgentSession,
    verdict: Verdict,
    figures: dict[str, Any] | None,
    summary: str,
    weaknesses: list[str],
) -> dict[str, Any]:
    opening = session.holdout_opening or {}
    return {
        "verdict": verdict.value,
        "summary": summary,
        "p_value": figures["p_value"] if figures else None,
        "alpha_annual": figures["alpha_annual"] if figures else None,
        "power": figures["power"] if figures else None,
        "level": opening.get("level"),
        "opening": opening.get("opening"),
        "strengths": _strengths(session),
        "weaknesses": weaknesses,
        "next_suggestions": _suggestions(session, verdict),
        "assessor": "offline",
    }


def _power_of(power: dict[str, Any]) -> str:
    """What these bars could have shown at all."""
    needed, record = power["sharpe_needed"], power["minimum_track_record_years"]
    text = (
        f"80 % power on {power['years']:.1f} years needs a true Sharpe of {needed:.2f}"
        if needed
        else "no bars"
    )
    return text + (f"; at the ratio seen, a track record of {record:.0f} years" if record else "")


def _rejected(reasons: list[str]) -> str:
    return f"Rejected before the holdout was opened: {'; '.join(reasons)}."


def _strengths(session: AgentSession) -> list[str]:
    found: list[str] = []
    training = (session.training_result or {}).get("metrics", {})
    # Balanced accuracy is mostly flat against moving, which is volatility; only direction earns money.
    direction = training.get("directional_accuracy")
    if isinstance(direction, float) and direction > 0.5:
        found.append(f"out-of-fold direction right in {direction:.1%} of called moves (50% by chance)")
    backtest = (session.backtest_result or {}).get("metrics", {})
    sharpe = backtest.get("sharpe")
    if isinstance(sharpe, float) and sharpe > 0:
        found.append(f"validation Sharpe {sharpe:.2f} over {backtest.get('trades')} trades")
    return found


def _suggestions(session: AgentSession, verdict: Verdict) -> list[str]:
    """Next steps from validation figures only: the holdout's must not steer the next design."""
    if verdict is Verdict.ESTABLISHED:
        return ["follow it on paper from the holdout's end on: that is the one exam left"]
    suggestions = ["start another session: the designer learns from this one's validation result"]
    backtest = (session.backtest_result or {}).get("metrics", {})
    trades = backtest.get("trades")
    if isinstance(trades, int) and trades > 400:
        suggestions.append("trade less: raise decisions.confidence_threshold or the label horizon")
    if verdict is Verdict.REJECTED:
        suggestions.append("try other indicators: this set carries too little about the next bars")
    return suggestions
