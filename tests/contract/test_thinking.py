"""A session that a language model thinks for, and what it leaves behind, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ktrdr.agents.agent_service import Trigger
from ktrdr.agents.designers.tools import bench_of
from ktrdr.api.memory_schemas import MemoryData
from ktrdr.api.services.memory_service import MemoryService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import Status
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.unit_of_work import Database
from tests.integration.strategies import SMALL
from tests.thinking import (
    ASKED,
    OPINION,
    TRAINED,
    Script,
    claimed,
    design,
    done,
    final,
    refusal,
    run,
)
from tests.unit.data.series import put, walk

pytestmark = pytest.mark.anyio


async def test_a_model_designs_and_assesses_a_whole_session(database: Database) -> None:
    llm = Script(design=(*ASKED, final(design())))
    operation, session = await run(database, await claimed(database), llm)
    assert operation.status is Status.COMPLETED, operation.error_message
    assert (session.strategy_config or {})["name"] == "small"
    assert "It may work." in (session.research_notes or "")
    assessment = session.assessment or {}
    assert assessment["assessor"] == "test:scripted"
    assert assessment["verdict"] == "ESTABLISHED"
    assert assessment["lesson"] == OPINION["lesson"]
    assert "only 120 trades" in assessment["weaknesses"]
    assert [len(llm.requests[one]) for one in ("design", "assess")] == [len(ASKED) + 1, 1]
    assert "mean reversion" in llm.requests["design"][0]
    assert '"valid": true' in json.dumps(json.loads(llm.requests["design"][-1]))
    async with database.read() as tx:
        assert [one.statement for one in await tx.hypotheses.list(9)] == OPINION["hypotheses"][::-1]
        assert [one.lesson for one in await tx.ledger.list(9)] == [OPINION["lesson"]]


async def test_a_strategy_that_tests_a_hypothesis_settles_it(database: Database) -> None:
    await done(database)
    async with database.read() as tx:
        volume, horizon = await tx.hypotheses.list(9)
    tested = design(tests_hypothesis=horizon.hypothesis_id)
    llm = Script(design=(final(design(tests_hypothesis=10_000)), final(tested)))
    operation, session = await run(database, await claimed(database), llm)
    assert operation.status is Status.COMPLETED, operation.error_message
    assert "there is no open hypothesis 10000" in llm.requests["design"][1]
    assert session.tests_hypothesis == horizon.hypothesis_id
    poor = {"training": {**TRAINED, "metrics": {"balanced_accuracy": 0.2}}}
    other = Script(
        design=(final(design(tests_hypothesis=volume.hypothesis_id)),),
        assess=(final({**OPINION, "opinion": "REJECTED", "hypotheses": []}),),
    )
    await run(database, await claimed(database), other, poor)
    async with database.read() as tx:
        found = await tx.hypotheses.by_ids([horizon.hypothesis_id, volume.hypothesis_id])
    assert [one.status for one in found] == ["SUPPORTED", "REFUTED"]
    shown = MemoryData.of(await MemoryService(database).look(2))
    assert (shown.trials, [one.session_id for one in shown.experiments]) == (3, [3, 2])
    tests = {
        one.hypothesis_id: one.tested_by
        for one in MemoryData.of(await MemoryService(database).look(9)).hypotheses
    }
    assert (tests[horizon.hypothesis_id], tests[volume.hypothesis_id]) == ([2], [3])


async def test_a_design_that_is_begun_anew_asks_the_same(database: Database) -> None:
    """Also when other sessions have ended meanwhile: what it knows was fixed when it was triggered."""
    await done(database)
    operation = await claimed(database)
    first = Script(design=(*ASKED, refusal))
    await run(database, operation, first)
    await done(database, Script(design=(final(design(tests_hypothesis=1)),)))
    async with database.transaction() as tx:
        assert await tx.operations.requeue(operation.operation_id, "me")
        again = await tx.operations.claim(operation.operation_id, "me", None, None)
    assert again is not None
    second = Script(design=(*ASKED, final(design())))
    await run(database, again, second)
    assert second.requests["design"] == first.requests["design"]


async def test_experiments_that_saw_the_holdouts_days_are_left_out(
    database: Database, tmp_path: Path
) -> None:
    """Data under other names may be of the same market: what is developed on these days tells of them."""
    late = put(tmp_path, "LATE", "1d", walk("1d", 400)).key
    early = put(tmp_path, "EARLY", "1d", walk("1d", 400), holdout=date(2024, 6, 1)).key
    for dataset in (late, early, "gone"):
        operation = await claimed(database)
        async with database.transaction() as tx:
            found = await tx.sessions.by_operation(operation.operation_id)
            assert found is not None
            tried = replace(found, dataset=dataset, strategy_config=SMALL, assessment={"verdict": "REJECTED"})
            await tx.ledger.record(tried)
            known = await tx.ledger.recent_ids(9)
    for dataset, told in ((early, [early]), (late, [late, early])):
        bench = await bench_of(database, Catalog(tmp_path), {"known_trials": known}, dataset, "")
        assert [one.dataset for one in bench.trials] == told


async def test_without_a_model_a_lesson_is_made_by_rule(database: Database) -> None:
    trigger = Trigger(TriggerReason.MANUAL, seed=1, strategy=SMALL)
    ended, session = await run(database, await claimed(database, trigger), None)
    assert ended.status is Status.COMPLETED, ended.error_message
    assert "lesson" not in (session.assessment or {})
    async with database.read() as tx:
        trials = await tx.ledger.list(9)
        assert await tx.hypotheses.list(9) == []
    assert [one.lesson for one in trials] == [
        "Passed the gates: balanced accuracy 34.6%, validation Sharpe 0.81 over 120 trades."
    ]
