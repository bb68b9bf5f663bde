"""`ktrdr checkpoints cleanup` and `stats`, and what `operations list` says of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ktrdr.cli.quantities import age, many, size
from tests.unit.cli.conftest import Answers
from tests.unit.cli.test_commands import CHECKPOINT, OPERATION

Ktrdr = Callable[..., tuple[int, str, str]]
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
CLEANUP = {
    "at": "2026-11-30T12:00:00+00:00",
    "older_than_days": 30.0,
    "dry_run": False,
    "deleted": ["research_1", "research_1.training"],
    "orphans": [f"op_2/{'a' * 32}"],
    "freed_bytes": 14_200_000,
    "more": False,
}
USAGE = {"folders": 2, "bytes": 2_500}
STATISTICS = {
    "checkpoints": 3,
    "resumable": 2,
    "by_operation_type": {"agent_research": 1, "training": 2},
    "oldest": "2026-11-01T12:00:00+00:00",
    "expired": 1,
    "checkpoint_files": USAGE,
    "result_files": USAGE,
    "orphaned_files": {"folders": 0, "bytes": 0},
    "other_files": USAGE,
    "checkpoint_days": 30.0,
    "orphan_hours": 1.0,
    "last_cleanup": None,
}


def test_a_cleanup_says_what_it_freed(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("POST /checkpoints/cleanup", CLEANUP)
    status, out, _ = ktrdr("checkpoints", "cleanup")
    assert (status, out.splitlines()) == (
        0,
        [
            "  research_1",
            "  research_1.training",
            f"  op_2/{'a' * 32}",
            "Deleted 2 checkpoints and 1 orphaned folder: 14.2 MB freed.",
        ],
    )
    assert backend.asked == [("POST /checkpoints/cleanup", {"older_than_days": None, "dry_run": False})]


def test_a_dry_run_asks_for_one_and_does_not_claim_more(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("POST /checkpoints/cleanup", CLEANUP | {"dry_run": True, "more": True})
    status, out, _ = ktrdr("checkpoints", "cleanup", "--older-than", "0.5", "--dry-run")
    assert status == 0
    assert out.splitlines()[-2:] == [
        "Would delete 2 checkpoints and 1 orphaned folder: 14.2 MB.",
        "There is more: run it again.",
    ]
    assert backend.asked == [("POST /checkpoints/cleanup", {"older_than_days": 0.5, "dry_run": True})]


def test_stats_name_the_last_cleanup_once_there_was_one(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /checkpoints/statistics", STATISTICS)
    status, out, _ = ktrdr("checkpoints", "stats")
    assert status == 0
    for shown in (
        "3 (1 agent_research, 2 training)",
        "not written to for 30 days",
        "2.5 kB in 2 folders",
        "0 B in 0 folders",
        "none since the backend started",
    ):
        assert shown in out
    backend.give("GET /checkpoints/statistics", STATISTICS | {"last_cleanup": CLEANUP})
    _, out, _ = ktrdr("checkpoints", "stats")
    assert "2026-11-30T12:00:00+00:00: 2 checkpoints and 1 orphaned folder, 14.2 MB freed" in out


@pytest.mark.parametrize(
    ("words", "request_line", "answer"),
    [
        ("checkpoints cleanup", "POST /checkpoints/cleanup", CLEANUP),
        ("checkpoints stats", "GET /checkpoints/statistics", STATISTICS),
    ],
)
def test_json_is_exactly_what_the_api_said(
    backend: Answers, ktrdr: Ktrdr, words: str, request_line: str, answer: Any
) -> None:
    backend.give(request_line, answer)
    status, out, _ = ktrdr(*words.split(), "--json")
    assert (status, json.loads(out)) == (0, answer)


def test_a_list_shows_where_each_would_go_on_and_how_many_can(backend: Answers, ktrdr: Ktrdr) -> None:
    saved = (datetime.now(UTC) - timedelta(days=3, hours=2)).isoformat()
    places: list[dict[str, Any]] = [
        {"phase": "TRAINING", "epoch": 384, "bar": None},
        {"phase": None, "epoch": 17, "bar": None},
        {"phase": None, "epoch": None, "bar": 4000},
    ]
    kept = [
        OPERATION | {"operation_id": f"op_{n}", "checkpoint": CHECKPOINT | place | {"created_at": saved}}
        for n, place in enumerate(places)
    ]
    done = OPERATION | {"operation_id": "op_3", "checkpoint": None, "resumable": False}
    backend.give("GET /operations", [*kept, done])
    status, out, _ = ktrdr("operations", "list")
    assert status == 0
    head, *rows = out.splitlines()[:5]
    assert head.split() == ["ID", "TYPE", "STATUS", "DONE", "CHECKPOINT", "AGE"]
    assert [row.split("40%")[1].split() for row in rows] == [
        ["TRAINING", "3", "d"],
        ["epoch", "17", "3", "d"],
        ["bar", "4000", "3", "d"],
        ["-", "-"],
    ]
    assert out.endswith("\n3 can be resumed: ktrdr operations resume ID\n")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-60, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h"), (86_399, "23 h")],
)
def test_an_age_has_one_unit(seconds: int, expected: str) -> None:
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == expected


def test_sizes_and_counts_are_short() -> None:
    assert [size(one) for one in (0, 999, 1_000, 2_540_000, 3 * 10**9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "3.0 GB",
    ]
    assert [many([0] * n, "checkpoint") for n in (0, 1, 2)] == [
        "0 checkpoints",
        "1 checkpoint",
        "2 checkpoints",
    ]
    assert age(None, NOW) == "-"
