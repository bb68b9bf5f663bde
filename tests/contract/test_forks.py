"""Forks on both databases: all of one or nothing, and the origin stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select

from ktrdr.agents.agent_service import AgentService, SessionView
from ktrdr.agents.checkpoint_builder import restore
from ktrdr.api import errors
from ktrdr.api.routes import agent as agent_routes
from ktrdr.api.routes import forks
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
    SessionActive,
    SessionNotFound,
)
from ktrdr.domain.operations import Event, NewOperation, OperationType, Status
from ktrdr.domain.sessions import AgentSession, GateThresholds, Phase, TriggerReason
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.forks import RecordedFork
from ktrdr.persistence.tables import metadata
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import claim, get, setup
from tests.integration.strategies import SMALL

pytestmark = pytest.mark.anyio

CONFIG = parse_strategy(SMALL).to_config()
THRESHOLDS = GateThresholds(0.0, -10.0, 1.0, 0)
TESTED = {"metrics": {"trades": 20, "sharpe": 0.5, "max_drawdown": 0.2}}
PASSED: tuple[dict[str, Any], ...] = tuple(
    {"gate": name, "passed": True, "reasons": []} for name in ("training", "backtest")
)
SYMBOL = "strategy.training_data.symbols.symbol"
REQUEST = {"trigger_reason": "manual", "seed": 7, "dataset": "nasdaq", "strategy": SMALL, "brief": "b"}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def service(database: Database, artifacts: Path, *, max_active: int = 1) -> ForksService:
    return ForksService(database, setup(max_active=max_active, thresholds=THRESHOLDS), artifacts)


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


def agent(database: Database) -> AgentService:
    return AgentService(database, setup(thresholds=THRESHOLDS))


async def viewed(database: Database, session_id: int) -> SessionView:
    return await agent(database).view(session_id)


def over_http(database: Database, artifacts: Path) -> AsyncClient:
    """The routes over the same services, in this process."""
    app = FastAPI()
    errors.install(app)
    app.include_router(forks.router(service(database, artifacts)))
    app.include_router(agent_routes.router(agent(database)))
    return AsyncClient(transport=ASGITransport(app), base_url="http://here")


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


async def test_a_result_that_does_not_pass_its_gate_is_refused(database: Database, artifacts: Path) -> None:
    origin = await completed(database, artifacts, training_result={"metrics": {}})
    before = await rows(database)
    with pytest.raises(GateNotPassed, match="balanced_accuracy is missing"):
        await service(database, artifacts).fork(Wanted(origin.session_id, Phase.BACKTESTING, {}))
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
    several = service(database, artifacts, max_active=2)
    wanted = Wanted(origin.session_id, Phase.TRAINING, {})
    answers = await asyncio.gather(*(several.fork(wanted) for _ in range(10)), return_exceptions=True)
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [SessionActive] * 8
    found = await rows(database)
    assert {name: len(found[name]) for name in ("agent_sessions", "session_forks")} == {
        "agent_sessions": 3,
        "session_forks": 2,
    }


async def test_over_http_a_fork_is_asked_for_and_shown(database: Database, artifacts: Path) -> None:
    await completed(database, artifacts)
    async with over_http(database, artifacts) as client:
        body = {"from_phase": "TRAINING", "set": {"strategy.training.epochs": 60}}
        answer = await client.post("/agent/sessions/1/fork", json=body)
        assert answer.status_code == 202
        made = answer.json()["data"]
        lineage = {
            "session_id": 1,
            "phase": "TRAINING",
            "changes": {"strategy.training.epochs": {"from": 120, "to": 60}},
        }
        number, named = made["session_id"], made["operation_id"]
        assert made == {
            "operation_id": named,
            "session_id": number,
            "phase": "TRAINING",
            "forked_from": lineage,
        }
        for path in (f"/agent/status?session_id={number}", f"/agent/sessions/{number}"):
            assert (await client.get(path)).json()["data"]["forked_from"] == lineage
        sessions = (await client.get("/agent/sessions")).json()["data"]
        assert [(one["session_id"], one["forks"]) for one in sessions] == [(number, []), (1, [number])]


REFUSED: tuple[tuple[str, Any, int, str], ...] = (
    ("9", {"from_phase": "TRAINING"}, 404, "SESSION_NOT_FOUND"),
    ("x", {"from_phase": "TRAINING"}, 422, "VALIDATION_ERROR"),
    (str(2**40), {"from_phase": "TRAINING"}, 422, "VALIDATION_ERROR"),
    ("1", {}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "COMPLETED"}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "TRAINING", "settings": {}}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "TRAINING", "set": ["seed"]}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "TRAINING", "set": {"seed": 2**31}}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "TRAINING", "set": {"sed": 1}}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "TRAINING", "set": {SYMBOL: "NOWHERE"}}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "BACKTESTING", "set": {"seed": 8}}, 422, "VALIDATION_ERROR"),
    ("1", {"from_phase": "ASSESSING"}, 409, "PHASE_NOT_FINISHED"),
)


async def test_over_http_a_refusal_has_its_code_and_changes_nothing(
    database: Database, artifacts: Path
) -> None:
    await completed(database, artifacts, backtest_result=None)
    before = await rows(database)
    async with over_http(database, artifacts) as client:
        for session, body, status, code in REFUSED:
            answer = await client.post(f"/agent/sessions/{session}/fork", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (session, body)
    assert await rows(database) == before
