"""A conversation with a language model: what it is told, what it may return, and what it can't do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from ktrdr.agents.agent_service import Trigger
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.domain.errors import CheckpointIncompatible
from ktrdr.domain.operations import Status
from ktrdr.domain.resumes import Ending, Position, Resume
from ktrdr.domain.sessions import Phase, TriggerReason
from ktrdr.persistence.tables import holdout_openings
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import setup
from tests.integration.strategies import SMALL
from tests.thinking import (
    ASKED,
    OPINION,
    TESTED,
    THRESHOLDS,
    TRAINED,
    Script,
    call,
    claimed,
    design,
    done,
    final,
    refusal,
    run,
    said,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite alone: what is tested here does not depend on the database."""
    one = Database(f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}")
    await one.migrate()
    yield one
    await one.close()


async def test_nothing_of_the_holdout_is_ever_sent(database: Database) -> None:
    """Neither its days nor its figures, of this session or of earlier ones; nor the verdict that it gave."""
    await done(database)
    await done(database)
    llm = Script(design=(*ASKED, final(design())))
    await done(database, llm)
    sent = llm.everything
    figures = ("7.753", "7753", "0.0077535", "77536", "ESTABLISHED", "NOT_PROVEN", "holdout_opening")
    assert [one for one in figures if one in sent] == []
    assert re.findall(r"\b20(?:1[4-9]|[2-9]\d)\b", sent) == []
    for known in ("0.81", "0.3457", "2013-12-31", "Short horizons trade"):  # what it is told it is told
        assert known in sent
    async with database.read() as tx:
        exams = [one for one in await tx.operations.list() if one.operation_id.endswith(".holdout")]
    assert [(one.result or {})["metrics"]["sharpe"] for one in exams] == [7.7531] * 3


async def test_the_holdout_stays_sealed_until_the_model_has_spoken(database: Database) -> None:
    operation = await claimed(database)
    ended, session = await run(database, operation, Script(assess=(refusal,)))
    assert (ended.status, ended.error_code, session.phase) == (Status.FAILED, "LLM_REFUSED", Phase.ASSESSING)
    async with database.read() as tx:
        assert (await tx.connection.execute(select(holdout_openings))).all() == []


async def test_what_is_not_valid_is_returned_to_the_model_with_its_path(database: Database) -> None:
    wrong = design(strategy={**SMALL, "indicators": {"x": {"type": "rsj"}}})
    llm = Script(design=(final(wrong), said("here it is"), final(design())))
    operation, _ = await run(database, await claimed(database), llm)
    assert operation.status is Status.COMPLETED, operation.error_message
    returned = llm.requests["design"][1]
    assert "indicators.x.type" in returned
    assert "rsi" in returned


async def test_a_model_that_finds_no_strategy_fails_with_its_last_error(
    database: Database,
) -> None:
    llm = Script(design=(final(design(strategy={**SMALL, "code": "import os"})),))
    operation, session = await run(database, await claimed(database), llm)
    assert (operation.status, operation.error_code) == (Status.FAILED, "DESIGN_FAILED")
    assert "unknown key 'code'" in (operation.error_message or "")
    assert len(llm.requests["design"]) == 4
    assert session.phase is Phase.DESIGNING
    async with database.read() as tx:
        kept = await tx.checkpoints.get(operation.operation_id)
    assert kept is not None
    assert kept.checkpoint_type == "failure"


async def test_an_answer_that_is_no_design_is_returned_too(database: Database) -> None:
    llm = Script(design=(final({"strategy": SMALL, "url": "http://127.0.0.1/"}),))
    operation, _ = await run(database, await claimed(database), llm)
    assert operation.error_code == "DESIGN_FAILED"
    for fault in ("research_notes: Field required", "url: Extra inputs are not permitted"):
        assert fault in (operation.error_message or "")


async def test_a_resume_lets_a_model_that_gave_up_go_on(database: Database) -> None:
    """Behind the answers that it gave; they are the journal's by then."""
    wrong = final(design(strategy={**SMALL, "code": "import os"}))
    operation = await claimed(database)
    first = Script(design=(wrong,))
    ended, _ = await run(database, operation, first)
    assert ended.error_code == "DESIGN_FAILED"
    async with database.transaction() as tx:
        await tx.resumes.record(Resume(operation.operation_id, Ending.of(ended), Position()))
        assert await tx.operations.requeue(operation.operation_id, "me")
        again = await tx.operations.claim(operation.operation_id, "me", None, None)
    assert again is not None
    second = Script(design=(*[wrong] * 6, final(design())))
    ended, _ = await run(database, again, second)
    assert ended.status is Status.COMPLETED, ended.error_message
    assert len(second.requests["design"]) == 7
    assert second.requests["design"][:4] == first.requests["design"]


async def test_a_model_that_only_asks_is_stopped(database: Database) -> None:
    llm = Script(design=(call("hypotheses"),))
    operation, _ = await run(database, await claimed(database), llm)
    assert (operation.status, operation.error_code) == (Status.FAILED, "DESIGN_FAILED")
    assert "in 20 requests" in (operation.error_message or "")
    assert len(llm.requests["design"]) == 20


async def test_a_failed_gate_is_not_overruled(database: Database) -> None:
    """A model that praises what failed is told so; the verdict is the rule's all the same."""
    poor = {**TESTED, "metrics": {**TESTED["metrics"], "sharpe": -0.4}}  # type: ignore[dict-item]
    praise = {**OPINION, "opinion": "PROMISING"}
    llm = Script(assess=(final(praise), final({**praise, "opinion": "REJECTED"})))
    results = {"training": TRAINED, "backtesting": poor}
    operation, session = await run(database, await claimed(database), llm, results)
    assert operation.status is Status.COMPLETED, operation.error_message
    assert "can only be REJECTED" in llm.requests["assess"][1]
    assert (session.assessment or {})["verdict"] == "REJECTED"
    assert session.holdout_operation_id is None


async def test_a_resume_under_another_model_is_refused(database: Database, tmp_path: Path) -> None:
    """As under other prompts: it would begin another conversation than the one that was paid for."""
    operation = await claimed(database, model="a:b")
    async with database.transaction() as tx:
        await tx.orphans.fail_backend_local("me")

    def service(model: str | None) -> ResumesService:
        return ResumesService(database, setup(thresholds=THRESHOLDS, model=model), tmp_path)

    for model in ("a:c", None):
        with pytest.raises(CheckpointIncompatible, match=r"settings\.language_model"):
            await service(model).resume(operation.operation_id, force=False)
    assert await service("a:b").resume(operation.operation_id, force=False)


async def test_a_cancel_stops_a_conversation(database: Database) -> None:
    operation = await claimed(database)

    async def cancel() -> None:
        async with database.transaction() as tx:
            await tx.operations.request_cancel(operation.operation_id)

    await cancel()
    llm = Script(design=(call("hypotheses"),))
    ended, _ = await run(database, operation, llm)
    assert ended.status is Status.CANCELLED
    assert len(llm.requests["design"]) <= 1


async def test_a_given_strategy_is_not_designed_and_is_assessed(database: Database) -> None:
    trigger = Trigger(TriggerReason.MANUAL, seed=1, strategy=SMALL)
    llm = Script()
    ended, session = await run(database, await claimed(database, trigger), llm)
    assert ended.status is Status.COMPLETED, ended.error_message
    assert llm.requests["design"] == []
    assert (session.assessment or {})["assessor"] == "test:scripted"
