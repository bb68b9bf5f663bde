"""Forks on both databases: all of one or nothing, and the origin stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ktrdr.agents.agent_service import AgentService, SessionView
from ktrdr.agents.checkpoint_builder import restore
from ktrdr.api.services.forks_service import ForksService, Wanted
from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.integrity import verify
from ktrdr.checkpointing.schemas import AgentCheckpointState
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.errors import (
    CheckpointCorrupted,
    GateNotPassed,
    InvalidInput,
    KtrdrError,
    PhaseNotFinished,
    SessionActive,
    SessionNotFound,
)
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.domain.sessions import AgentSession, GateThresholds, Phase, TriggerReason
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.forks import RecordedFork
from ktrdr.persistence.tables import metadata
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import claim, get
from tests.integration.strategies import SMALL

pytestmark = pytest.mark.anyio

CONFIG = parse_strategy(SMALL).to_config()
THRESHOLDS = GateThresholds(0.0, -10.0, 1.0, 0)
TESTED = {"metrics": {"trades": 20, "sharpe": 0.5, "max_drawdown": 0.2}}
PASSED = tuple({"gate": name, "passed": True, "reasons": []} for name in ("training", "backtest"))
REQUEST = {"trigger_reason": "manual", "seed": 7, "dataset": "nasdaq", "strategy": SMALL, "brief": "b"}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def service(database: Database, artifacts: Path, *, max_active: int = 1) -> ForksService:
    return ForksService(
        database,
        instance="me",
        max_active=max_active,
        thresholds=THRESHOLDS,
        artifacts=artifacts,
        catalog=Catalog(None),
        wake=lambda: None,
    )


async def completed(database: Database, artifacts: Path, **fields: Any) -> AgentSession:
    """A session that found everything, as its loop would have left it."""
    trained = {
        "metrics": {"balanced_accuracy": 0.4},
        "model": write_generation(artifacts, "research_1.training.model", {"tensors": b"weights"}).to_json(),
        "data_sha256": fingerprint_of(Catalog(None), "nasdaq", CONFIG, {}).data,
    }
    async with database.transaction() as tx:
        await tx.operations.insert_if_absent(
            NewOperation("research_1", OperationType.AGENT_RESEARCH, REQUEST, is_backend_local=True)
        )
        created = await tx.sessions.create(
            operation_id="research_1",
            trigger_reason=TriggerReason.MANUAL,
            seed=7,
            dataset="nasdaq",
            brief="b",
        )
    attempt = await claim(database, "research_1", "me", None)
    assert attempt is not None
    session = replace(
        created,
        phase=Phase.COMPLETED,
        strategy_config=CONFIG,
        training_operation_id="research_1.training",
        training_result=trained,
        backtest_operation_id="research_1.backtesting",
        backtest_result=TESTED,
        gates=PASSED,
        assessment={"verdict": "NOT_PROVEN"},
        result_fingerprint="f" * 64,
    )
    session = replace(session, **fields)
    async with database.transaction() as tx:
        await tx.sessions.update(session)
        assert await tx.operations.finish("research_1", attempt, Event.COMPLETE, result={})
    return session


async def rows(database: Database) -> Mapping[str, list[Any]]:
    """Every row of every table that a fork might touch."""
    async with database.read() as tx:
        return {
            table.name: [tuple(row) for row in await tx.connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


async def viewed(database: Database, session_id: int) -> SessionView:
    agent = AgentService(
        database,
        instance="me",
        max_active=1,
        thresholds=THRESHOLDS,
        catalog=Catalog(None),
        wake=lambda: None,
    )
    return await agent.view(session_id)


async def test_a_fork_is_a_session_in_its_first_phase_with_child_lineage_and_checkpoint(
    database: Database, artifacts: Path
) -> None:
    """All that a resume needs is there from the first instant; every row of the origin is as it was."""
    origin = await completed(database, artifacts)
    before = await rows(database)
    wanted = Wanted(origin.session_id, Phase.BACKTESTING, {"strategy.decisions.confidence_threshold": 0.5})
    session, fork = await service(database, artifacts).fork(wanted)

    async with database.read() as tx:
        assert await tx.sessions.get(session.session_id) == session
        stored = await tx.checkpoints.get(session.operation_id)
        assert stored is not None
        verify(stored)
        assert restore(AgentCheckpointState.from_json(stored.state)) == session
        assert await tx.forks.origin(session.session_id) == fork
        assert await tx.forks.of(origin.session_id) == [fork]
    assert fork == RecordedFork(
        session.session_id,
        origin.session_id,
        Phase.BACKTESTING,
        {"strategy.decisions.confidence_threshold": {"from": 0.34, "to": 0.5}},
    )
    operation = await get(database, session.operation_id)
    assert (operation.status, operation.owner, operation.is_backend_local) == (Status.PENDING, "me", True)
    child = await get(database, f"{session.operation_id}.backtesting")
    assert (child.status, child.parent_operation_id) == (Status.PENDING, session.operation_id)
    after = await rows(database)
    assert [row for name, found in before.items() for row in found if row not in after[name]] == []
    added = {name: len(found) - len(before[name]) for name, found in after.items()}
    assert {name: count for name, count in added.items() if count} == {
        "operations": 2,
        "operation_events": 2,
        "agent_sessions": 1,
        "operation_checkpoints": 1,
        "session_forks": 1,
    }


async def test_both_sides_of_a_fork_show_it(database: Database, artifacts: Path) -> None:
    origin = await completed(database, artifacts)
    session, fork = await service(database, artifacts).fork(
        Wanted(origin.session_id, Phase.TRAINING, {"seed": 8})
    )
    assert (await viewed(database, origin.session_id)).forks == (session.session_id,)
    assert (await viewed(database, origin.session_id)).origin is None
    view = await viewed(database, session.session_id)
    assert (view.origin, view.forks) == (fork, ())
    assert [child.operation_id for child in view.children] == [f"{session.operation_id}.training"]


@pytest.mark.parametrize(
    ("fields", "phase", "settings", "error"),
    [
        ({}, Phase.TRAINING, {"sed": 1}, InvalidInput),
        ({}, Phase.TRAINING, {"strategy.training_data.symbols.symbol": "NOWHERE"}, InvalidInput),
        ({}, Phase.BACKTESTING, {"seed": 8}, InvalidInput),
        ({"backtest_result": None}, Phase.ASSESSING, {}, PhaseNotFinished),
        ({"training_result": {"metrics": {}}}, Phase.BACKTESTING, {}, GateNotPassed),
    ],
)
async def test_a_refusal_changes_nothing(
    database: Database,
    artifacts: Path,
    fields: dict[str, Any],
    phase: Phase,
    settings: dict[str, Any],
    error: type[KtrdrError],
) -> None:
    origin = await completed(database, artifacts, **fields)
    before = await rows(database)
    with pytest.raises(error):
        await service(database, artifacts).fork(Wanted(origin.session_id, phase, settings))
    assert await rows(database) == before


async def test_a_model_that_is_not_what_was_trained_is_named(database: Database, artifacts: Path) -> None:
    """Missing or changed, before anything is written; a fork that trains anew does not need it."""
    origin = await completed(database, artifacts)
    before = await rows(database)
    file = artifacts / (origin.training_result or {})["model"]["path"] / "tensors"
    for damage in (b"weighTs", None):
        file.write_bytes(damage) if damage else file.unlink()
        with pytest.raises(CheckpointCorrupted) as refusal:
            await service(database, artifacts).fork(Wanted(origin.session_id, Phase.ASSESSING, {}))
        assert refusal.value.details["artifact"] == "tensors"
        assert await rows(database) == before
    await service(database, artifacts).fork(Wanted(origin.session_id, Phase.TRAINING, {}))


async def test_a_model_of_data_that_were_imported_anew_is_refused(
    database: Database, artifacts: Path
) -> None:
    origin = await completed(database, artifacts)
    trained = {**(origin.training_result or {}), "data_sha256": "0" * 64}
    async with database.transaction() as tx:
        await tx.sessions.update(replace(origin, training_result=trained))
    with pytest.raises(InvalidInput, match="Fork the session from TRAINING"):
        await service(database, artifacts).fork(Wanted(origin.session_id, Phase.BACKTESTING, {}))


async def test_a_session_that_is_not_there_is_not_found(database: Database, artifacts: Path) -> None:
    with pytest.raises(SessionNotFound):
        await service(database, artifacts).fork(Wanted(9, Phase.DESIGNING, {}))


async def test_of_ten_forks_at_once_no_more_get_in_than_there_is_room_for(
    database: Database, artifacts: Path
) -> None:
    """The check and all that is written share one transaction."""
    origin = await completed(database, artifacts)
    forks = service(database, artifacts, max_active=2)
    wanted = Wanted(origin.session_id, Phase.TRAINING, {})
    answers = await asyncio.gather(*(forks.fork(wanted) for _ in range(10)), return_exceptions=True)
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [SessionActive] * 8
    found = await rows(database)
    assert {name: len(found[name]) for name in ("agent_sessions", "session_forks")} == {
        "agent_sessions": 3,
        "session_forks": 2,
    }
