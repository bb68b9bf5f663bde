"""Without a language model nothing is different: no library is imported, no fingerprint changes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import pytest

from ktrdr.agents.assessor import assess, with_opinion
from ktrdr.agents.language_models import session_settings
from ktrdr.agents.phases.assessing import fingerprint
from ktrdr.agents.prompts import prompt_sha256
from ktrdr.domain.fingerprints import Fingerprint, sha256_of
from ktrdr.domain.memory import HypothesisStatus, lesson_of, status_after
from ktrdr.domain.sessions import AgentSession, GateThresholds, TriggerReason

THRESHOLDS = GateThresholds(0.335, 0.0, 0.6, 10)
LIBRARIES = ("pydantic_ai", "anthropic", "openai", "google.genai", "genai_prices")


def test_a_backend_without_a_model_imports_no_library_for_one() -> None:
    code = (
        "import sys, ktrdr.api.app, ktrdr.api.bootstrap, ktrdr.agents.loop\n"
        f"print([one for one in {LIBRARIES!r} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_offline_a_session_is_made_under_its_gates_alone() -> None:
    """The checkpoints of sessions that began before there were models can be resumed."""
    assert session_settings(THRESHOLDS, None) == asdict(THRESHOLDS)


@pytest.mark.parametrize(("then", "now"), [(None, "a:b"), ("a:b", None), ("a:b", "a:c")])
def test_another_model_is_another_input(then: str | None, now: str | None) -> None:
    def prints(model: str | None) -> Fingerprint:
        values = session_settings(THRESHOLDS, model)
        return Fingerprint("s", "d", "c", sha256_of(values), {"settings": values})

    difference = prints(then).difference(prints(now))
    assert "language_model" in str(difference)
    assert prints(then).difference(prints(then)) == {}


def test_another_prompt_is_another_input() -> None:
    assert session_settings(THRESHOLDS, "a:b")["prompts"] == {
        "designer": prompt_sha256("designer"),
        "assessor": prompt_sha256("assessor"),
    }


def test_an_opinion_adds_sentences_and_changes_no_verdict() -> None:
    rule: dict[str, Any] = {
        "verdict": "REJECTED",
        "summary": "by rule",
        "p_value": None,
        "strengths": [],
        "weaknesses": ["a"],
        "next_suggestions": ["b"],
        "assessor": "offline",
    }
    opinion = {
        "opinion": "PROMISING",
        "strengths": ["s"],
        "weaknesses": ["w"],
        "next_suggestions": ["n"],
        "hypotheses": ["h"],
        "lesson": "l",
        "assessor": "a:b",
        "verdict": "ESTABLISHED",
        "summary": "great",
        "p_value": 0.0,
    }
    found = with_opinion(rule, opinion)
    assert {name: found[name] for name in ("verdict", "summary", "p_value")} == {
        "verdict": "REJECTED",
        "summary": "by rule",
        "p_value": None,
    }
    assert (found["weaknesses"], found["next_suggestions"]) == (["a", "w"], ["b", "n"])
    assert with_opinion(rule, None) is rule


def test_a_lesson_by_rule_says_which_gate_failed() -> None:
    failed = [{"gate": "training", "passed": False, "reasons": ["balanced_accuracy is missing"]}]
    assert lesson_of(failed, {}, {}) == (
        "Failed a gate (balanced_accuracy is missing): balanced accuracy unknown."
    )
    assert status_after(failed) is HypothesisStatus.REFUTED
    passed = [{"gate": "training", "passed": True, "reasons": []}]
    assert status_after(passed) is HypothesisStatus.SUPPORTED
    assert status_after([]) is HypothesisStatus.REFUTED


def test_the_fingerprint_of_an_offline_session_is_what_it_was() -> None:
    """Computed by the version before there were models: what they add is not there without one."""
    training = {
        "metrics": {"balanced_accuracy": 0.34, "directional_accuracy": 0.52},
        "weights_sha256": "w" * 64,
    }
    backtest = {
        "metrics": {"sharpe": 0.8, "trades": 500},
        "trades_sha256": "t" * 64,
        "equity_sha256": "e" * 64,
    }
    power = {"years": 5.0, "sharpe_needed": 1.25, "minimum_track_record_years": 7.0}
    vetoes = {"passed": True, "reasons": []}
    figures = {"p_value": 0.01, "alpha_annual": 0.1, "vetoes": vetoes, "power": power}
    exam = {"metrics": {"sharpe": 0.5}, "exam": figures}
    session = AgentSession(
        1,
        "op",
        TriggerReason.MANUAL,
        1,
        "nasdaq",
        strategy_config={"name": "x"},
        training_result=training,
        backtest_result=backtest,
        holdout_opening={"opening": 1, "level": 0.03},
        gates=({"gate": "training", "passed": True, "reasons": []},),
    )
    judged = replace(session, assessment=assess(session, exam))
    assert fingerprint(judged, exam) == "c15539f95ef870942a13c7463285e1ae813fab7d99fdb8a048a59d7f7418cea1"
