"""Sessions, trials and the openings of the holdout, on both databases."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from ktrdr.domain.errors import SessionNotFound
from ktrdr.domain.market import MAX_OPENINGS, opening_level
from ktrdr.domain.memory import HypothesisStatus
from ktrdr.domain.operations import OperationType
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason
from ktrdr.persistence.ledger import Opening
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import insert

pytestmark = pytest.mark.anyio


async def new_session(database: Database, operation_id: str) -> AgentSession:
    await insert(database, operation_id, OperationType.AGENT_RESEARCH, is_backend_local=True)
    async with database.transaction() as tx:
        return await tx.sessions.create(
            operation_id=operation_id,
            trigger_reason=TriggerReason.START_NEW_CYCLE,
            seed=2**31 - 1,
            dataset="nasdaq",
            brief="b",
        )


async def open_holdout(database: Database, operation_id: str, key: str = "k" * 64) -> Opening | None:
    async with database.transaction() as tx:
        return await tx.ledger.open(key, operation_id, "s" * 64)


async def test_a_session_is_read_as_it_was_written(database: Database) -> None:
    session = await new_session(database, "op_1")
    assert session == AgentSession(
        session.session_id, "op_1", TriggerReason.START_NEW_CYCLE, 2**31 - 1, "nasdaq", brief="b"
    )
    full = replace(
        session,
        phase=Phase.ASSESSING,
        strategy_config={"name": "x"},
        research_notes="notes",
        training_operation_id="op_1.training",
        training_result={"metrics": {"loss": 0.1}},
        backtest_operation_id="op_1.backtesting",
        backtest_result={"metrics": {"sharpe": 0.5}},
        holdout_operation_id="op_1.holdout",
        holdout_opening={"opening": 1, "level": 0.03},
        gates=({"gate": "training", "passed": True, "reasons": []},),
        assessment={"verdict": "NOT_PROVEN"},
        result_fingerprint="f" * 64,
    )
    async with database.transaction() as tx:
        await tx.sessions.update(full)
    async with database.read() as tx:
        assert await tx.sessions.get(session.session_id) == full
        assert await tx.sessions.by_operation("op_1") == full


async def test_non_finite_results_become_null(database: Database) -> None:
    session = await new_session(database, "op_1")
    async with database.transaction() as tx:
        await tx.sessions.update(replace(session, training_result={"loss": math.nan}))
    async with database.read() as tx:
        assert (await tx.sessions.get(session.session_id)).training_result == {"loss": None}


async def test_the_latest_session_is_the_one_written_last(database: Database) -> None:
    async with database.read() as tx:
        assert await tx.sessions.latest() is None
        with pytest.raises(SessionNotFound):
            await tx.sessions.get(1)
        assert await tx.sessions.by_operation("op_nowhere") is None
    first = await new_session(database, "op_1")
    second = await new_session(database, "op_2")
    async with database.read() as tx:
        assert await tx.sessions.latest() == second
        assert await tx.sessions.list(10) == [second, first]
    await asyncio.sleep(0.01)
    async with database.transaction() as tx:
        await tx.sessions.update(first)
    async with database.read() as tx:
        assert await tx.sessions.latest() == first


async def test_an_active_session_comes_before_one_that_ended_later(database: Database) -> None:
    """As it seems when the clock was set back in between."""
    ended = await new_session(database, "op_1")
    active = await new_session(database, "op_2")
    async with database.transaction() as tx:
        assert await tx.operations.cancel_pending("op_1")
    await asyncio.sleep(0.01)
    async with database.transaction() as tx:
        await tx.sessions.update(ended)
    async with database.read() as tx:
        assert await tx.sessions.latest() == active


async def test_an_opening_is_counted_once_an_operation(database: Database) -> None:
    first = await open_holdout(database, "op_1")
    assert first == Opening(1, opening_level(1))
    assert await open_holdout(database, "op_1") == first
    second = await open_holdout(database, "op_2")
    assert second == Opening(2, opening_level(2))
    assert await open_holdout(database, "op_1") == first


async def test_a_holdout_is_exhausted_after_ten(database: Database) -> None:
    openings = [await open_holdout(database, f"op_{one}") for one in range(MAX_OPENINGS)]
    assert [one.opening for one in openings if one is not None] == list(range(1, 11))
    assert await open_holdout(database, "op_late") is None
    assert await open_holdout(database, "op_3") == openings[3], "its own is still its own"
    assert await open_holdout(database, "op_late", "j" * 64) == Opening(1, opening_level(1))


async def test_concurrent_openings_are_numbered_apart(database: Database) -> None:
    openings = await asyncio.gather(*(open_holdout(database, f"op_{one}") for one in range(15)))
    numbers = sorted(one.opening for one in openings if one is not None)
    assert numbers == list(range(1, MAX_OPENINGS + 1))


async def test_a_trial_is_recorded_once_and_shows_no_holdout(database: Database) -> None:
    session = replace(
        await new_session(database, "op_1"),
        strategy_config={"name": "x"},
        backtest_result={"metrics": {"sharpe": 0.5}},
        assessment={"verdict": "REJECTED", "holdout": {"sharpe": 9.0}},
    )
    for _ in range(2):
        async with database.transaction() as tx:
            await tx.ledger.record(session)
    failed = replace(session, operation_id="op_2", backtest_result=None)
    async with database.transaction() as tx:
        await tx.ledger.record(failed)
    async with database.read() as tx:
        ids = await tx.ledger.recent_ids(10)
        found = await tx.ledger.by_ids(ids)
        assert await tx.ledger.recent_ids(1) == ids[-1:]
        turned = await tx.ledger.by_ids([*reversed(ids), 99])
        assert turned == found[::-1], "a campaign's trials come in the order of its sessions"
        assert (await tx.ledger.count(session.dataset), await tx.ledger.count("other")) == (2, 0)
    assert len(ids) == 2
    assert ids == sorted(ids)
    assert [(one.strategy_config, one.sharpe) for one in found] == [
        ({"name": "x"}, 0.5),
        ({"name": "x"}, None),
    ]


async def test_a_trial_says_what_it_was_about_and_what_was_learnt(database: Database) -> None:
    session = replace(
        await new_session(database, "op_1"),
        strategy_config={"name": "x"},
        training_result={"metrics": {"balanced_accuracy": 0.34}},
        backtest_result={"metrics": {"sharpe": 0.5}},
        assessment={"verdict": "NOT_PROVEN"},
    )
    async with database.transaction() as tx:
        await tx.ledger.record(session, "Shorter horizons trade too much.")
    async with database.read() as tx:
        found = await tx.ledger.list(10)
    assert [(one.segment, one.brief, one.lesson) for one in found] == [
        ("validation", "b", "Shorter horizons trade too much.")
    ]
    assert (found[0].training, found[0].validation) == ({"balanced_accuracy": 0.34}, {"sharpe": 0.5})


async def test_hypotheses_are_recorded_once_and_settled_once(database: Database) -> None:
    await new_session(database, "op_1")
    for _ in range(2):
        async with database.transaction() as tx:
            await tx.hypotheses.record("op_1", ["one", "two"])
    async with database.transaction() as tx:
        newest, oldest = await tx.hypotheses.list(10)
        assert await tx.hypotheses.settle(oldest.hypothesis_id, HypothesisStatus.REFUTED)
        assert not await tx.hypotheses.settle(oldest.hypothesis_id, HypothesisStatus.SUPPORTED)
    async with database.read() as tx:
        found = await tx.hypotheses.by_ids([newest.hypothesis_id, oldest.hypothesis_id])
        assert [one.statement for one in await tx.hypotheses.list(1)] == ["two"]
    assert [(one.number, one.statement, one.status) for one in found] == [
        (1, "one", HypothesisStatus.REFUTED),
        (2, "two", HypothesisStatus.OPEN),
    ]
