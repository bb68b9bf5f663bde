"""The pure rules: transitions, segments, sessions' gates, fingerprints."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.domain.fingerprints import Fingerprint, canonical_json, derive_seed, finite, sha256_of
from ktrdr.domain.market import DATASETS, FAMILY_WISE_LEVEL, MAX_OPENINGS, NASDAQ, opening_level
from ktrdr.domain.operations import (
    BACKEND_RESTARTED,
    CANCELLABLE,
    RESUMABLE,
    TERMINAL,
    TRANSITIONS,
    WORKER_UNAVAILABLE,
    Event,
    Status,
    apply,
    backtest_id,
    holdout_id,
    is_safe_key,
    orphan_message,
    state_diagram,
    training_id,
)
from ktrdr.domain.sessions import NEXT_PHASES, GateThresholds, Phase, backtest_gate, training_gate

THRESHOLDS = GateThresholds(min_balanced_accuracy=0.335, min_sharpe=0.0, max_drawdown=0.6, min_trades=10)
GOOD_BACKTEST = {"trades": 40, "sharpe": 0.3, "max_drawdown": 0.2}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


class TestOperations:
    def test_there_is_one_door_into_running(self) -> None:
        """Only a claim leads to RUNNING, and it finds only PENDING."""
        doors = [event for event, one in TRANSITIONS.items() if one.target is Status.RUNNING]
        assert doors == [Event.CLAIM]
        assert TRANSITIONS[Event.CLAIM].sources == frozenset({Status.PENDING})

    def test_every_event_has_a_transition(self) -> None:
        assert set(TRANSITIONS) == set(Event)

    def test_completed_is_never_left(self) -> None:
        assert all(apply(Status.COMPLETED, event) is None for event in Event)

    def test_what_failed_or_was_cancelled_can_only_be_resumed(self) -> None:
        for status in (Status.FAILED, Status.CANCELLED):
            assert [event for event in Event if apply(status, event) is not None] == [Event.RESUME]
        assert {Status.FAILED, Status.CANCELLED} == RESUMABLE

    def test_what_has_not_ended_can_be_cancelled(self) -> None:
        assert set(Status) - TERMINAL == CANCELLABLE

    def test_a_resume_only_queues(self) -> None:
        """Resume leads to PENDING; the claim, which raises the attempt, does the rest."""
        assert apply(Status.FAILED, Event.RESUME) is Status.PENDING

    @given(st.lists(st.sampled_from(list(Event)), max_size=30))
    def test_any_order_of_events_keeps_the_books(self, events: list[Event]) -> None:
        """RUNNING is entered as often as claimed, and nothing follows COMPLETED."""
        status, claims, resumes = Status.PENDING, 0, 0
        for event in events:
            after = apply(status, event)
            if after is None:
                continue
            assert status is not Status.COMPLETED
            claims += event is Event.CLAIM
            resumes += event is Event.RESUME
            status = after
        assert claims <= resumes + 1

    def test_the_two_restart_messages_are_exact(self) -> None:
        """The words of milestone 7; clients match on them."""
        with_one = orphan_message(BACKEND_RESTARTED, has_checkpoint=True)
        without = orphan_message(BACKEND_RESTARTED, has_checkpoint=False)
        assert with_one == "Backend restarted - checkpoint available for resume"
        assert without == "Backend restarted - no checkpoint available"

    def test_a_lost_worker_says_so(self) -> None:
        found = orphan_message(WORKER_UNAVAILABLE, has_checkpoint=True)
        assert found == "Worker became unavailable - checkpoint available for resume"

    def test_the_diagram_draws_every_transition_once(self) -> None:
        lines = state_diagram().splitlines()
        assert lines[0] == "stateDiagram-v2"
        assert len(lines) == len(set(lines))
        arrows = sum(len(one.sources) for one in TRANSITIONS.values())
        assert len(lines) == 1 + 1 + arrows + 1
        assert "    PENDING --> RUNNING: claim" in lines

    def test_child_ids_are_deterministic_and_safe(self) -> None:
        """A replayed phase finds its child instead of starting a second one."""
        ids = [make("op_agent_1") for make in (training_id, backtest_id, holdout_id)]
        assert ids == ["op_agent_1.training", "op_agent_1.backtesting", "op_agent_1.holdout"]
        assert all(is_safe_key(one) for one in ids)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "a..b",
            "a.",
            "a b",
            "a\n",
            "a\x00",
            "é",
            "-x",
            "x" * 121,
        ],
    )
    def test_path_like_keys_are_refused(self, text: str) -> None:
        assert not is_safe_key(text)

    @pytest.mark.parametrize("text", ["a", "op_1-2", "op.training", "x" * 120])
    def test_plain_keys_are_accepted(self, text: str) -> None:
        assert is_safe_key(text)


class TestMarket:
    def test_the_holdout_follows_development_without_overlap(self) -> None:
        for spec in DATASETS.values():
            assert spec.start < spec.development_end < spec.holdout_start < spec.end
            assert spec.holdout_start - spec.development_end >= timedelta(days=1)

    def test_all_openings_together_stay_below_five_per_cent(self) -> None:
        levels = [opening_level(one) for one in range(1, MAX_OPENINGS + 1)]
        assert levels == sorted(levels, reverse=True)
        assert sum(levels) < FAMILY_WISE_LEVEL
        assert levels[0] == pytest.approx(0.05 * 6 / math.pi**2)

    @pytest.mark.parametrize("opening", [0, -1, MAX_OPENINGS + 1])
    def test_there_is_no_opening_beyond_the_last(self, opening: int) -> None:
        with pytest.raises(ValueError, match="10 openings"):
            opening_level(opening)

    def test_the_same_bars_are_the_same_exam(self) -> None:
        assert NASDAQ.holdout_key("a") == NASDAQ.holdout_key("a")
        assert NASDAQ.holdout_key("a") != NASDAQ.holdout_key("b")


class TestSessions:
    def test_each_phase_leads_to_completed(self) -> None:
        for phase in Phase:
            reached = {phase}
            while nexts := {after for one in reached for after in NEXT_PHASES[one]} - reached:
                reached |= nexts
            assert Phase.COMPLETED in reached

    def test_a_failed_training_gate_may_skip_the_backtest(self) -> None:
        assert Phase.ASSESSING in NEXT_PHASES[Phase.TRAINING]

    def test_good_metrics_pass_both_gates(self) -> None:
        assert training_gate({"balanced_accuracy": 0.4}, THRESHOLDS).passed
        assert backtest_gate(GOOD_BACKTEST, THRESHOLDS).passed

    @pytest.mark.parametrize("value", [None, "0.9", math.nan, math.inf])
    def test_a_missing_metric_fails_the_gate(self, value: object) -> None:
        """Absent, of the wrong kind, or not finite: each fails and says so."""
        result = training_gate({"balanced_accuracy": value}, THRESHOLDS)
        assert not result.passed
        assert result.reasons == ("balanced_accuracy is missing",)

    def test_every_reason_is_given_at_once(self) -> None:
        result = backtest_gate({"trades": 1, "sharpe": -1.0, "max_drawdown": 0.9}, THRESHOLDS)
        assert [reason.split()[0] for reason in result.reasons] == ["trades", "sharpe", "max_drawdown"]
        assert result.to_json()["passed"] is False

    def test_a_bound_itself_passes(self) -> None:
        metrics = {"trades": 10, "sharpe": 0.0, "max_drawdown": 0.6}
        assert backtest_gate(metrics, THRESHOLDS).passed


class TestFingerprints:
    def test_one_spelling_a_value(self) -> None:
        assert canonical_json({"b": 1, "a": [True, "ä"]}) == '{"a":[true,"ä"],"b":1}'
        assert sha256_of({"b": 1, "a": 2}) == sha256_of({"a": 2, "b": 1})

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_canonical_json_refuses_what_json_has_not(self, value: float) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            canonical_json({"x": value})

    @given(JSON)
    def test_finite_makes_anything_serialisable(self, value: object) -> None:
        canonical_json(finite(value))

    def test_derived_seeds_are_stable_and_unrelated(self) -> None:
        """A change of this number would change the result of every session."""
        seeds = [derive_seed(7, "training", fold) for fold in range(100)]
        assert len(set(seeds)) == 100
        assert seeds == [derive_seed(7, "training", fold) for fold in range(100)]
        assert derive_seed(7, "training", 0) != derive_seed(8, "training", 0)
        assert all(0 <= seed < 2**63 for seed in seeds)

    def test_a_difference_names_what_changed(self) -> None:
        saved = Fingerprint(strategy=None, data="d1", code="c", settings="s")
        now = Fingerprint(strategy="x", data="d2", code="c", settings="s")
        assert saved.difference(now) == {"data": {"checkpoint": "d1", "now": "d2"}}

    @given(st.none() | st.text(max_size=4), st.none() | st.text(max_size=4), st.text(max_size=4))
    def test_a_fingerprint_survives_json(self, strategy: str | None, data: str | None, code: str) -> None:
        one = Fingerprint(strategy, data, code, "s")
        assert Fingerprint.from_json(one.to_json()) == one
        assert one.difference(one) == {}
