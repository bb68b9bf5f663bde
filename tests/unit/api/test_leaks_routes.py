"""The leak check over HTTP: it computes in another process, and the API process in none of its own."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ktrdr.api import errors
from ktrdr.api.routes import leaks
from ktrdr.api.services.leaks_service import LeaksService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.persistence.unit_of_work import Database
from tests.integration.strategies import SMALL
from tests.unit.data.series import put, walk
from tests.unit.grammar.whole import TEXT

pytestmark = pytest.mark.anyio
PATH = "/strategies/leak-check"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}")
    await one.migrate()
    yield one
    await one.close()


@pytest.fixture
async def api(tmp_path: Path, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    errors.install(app)
    service = LeaksService(database, Catalog(tmp_path / "data"), tmp_path / "artifacts")
    app.include_router(leaks.router(service))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def on(symbol: str) -> dict[str, Any]:
    config = copy.deepcopy(SMALL)
    config["training_data"]["symbols"]["symbol"] = symbol
    return config


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    return answer.json()["error"]


async def test_a_clean_strategy_is_told_how_much_was_looked_at(api: httpx.AsyncClient) -> None:
    answer = await api.post(PATH, json={"strategy": SMALL, "seed": 7})
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    assert (found["clean"], found["leaks"], found["strategy"]) == (True, [], "small")
    assert (found["features"], found["folds"], found["networks"], found["trained"]) == (4, 3, 3, False)
    assert found["moments"] > 20
    assert found["perturbations"][0] == "higher"


async def test_a_strategy_that_is_not_valid_is_refused_with_its_lines(api: httpx.AsyncClient) -> None:
    answer = await api.post(PATH, json={"text": TEXT.replace("epochs:", "ephocs:")})
    error = refused(answer, 422, "VALIDATION_ERROR")
    assert error["details"]["errors"][0]["line"] == 35


async def test_without_data_nothing_is_started(api: httpx.AsyncClient) -> None:
    error = refused(await api.post(PATH, json={"strategy": on("NOBODY")}), 422, "VALIDATION_ERROR")
    assert "no data for symbol 'NOBODY'" in error["message"]


async def test_what_the_process_could_not_do_is_a_refusal_with_its_reason(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Ninety bars are too few to learn from, which is known when they have been read."""
    put(tmp_path / "data", "FEW", "1d", walk("1d", 120))
    error = refused(await api.post(PATH, json={"strategy": on("FEW")}), 422, "VALIDATION_ERROR")
    assert error["message"].startswith("The strategy can't be checked: ")
    assert error["details"]["step_code"] == "NOT_ENOUGH_DATA"


async def test_only_a_training_that_has_completed_has_networks(
    api: httpx.AsyncClient, database: Database
) -> None:
    refused(await api.post(PATH, json={"training_id": "nobody"}), 404, "OPERATION_NOT_FOUND")
    async with database.transaction() as tx:
        request = {"strategy_config": SMALL, "seed": 1}
        await tx.operations.insert_if_absent(NewOperation("train_1", OperationType.TRAINING, request))
    error = refused(await api.post(PATH, json={"training_id": "train_1"}), 422, "VALIDATION_ERROR")
    assert "a training that is PENDING" in error["message"]


@pytest.mark.parametrize(
    "body", [{}, {"text": "a: 1", "training_id": "x"}, {"training_id": "../x"}, {"seed": 1}]
)
async def test_one_thing_to_check_is_sent(api: httpx.AsyncClient, body: Any) -> None:
    refused(await api.post(PATH, json=body), 422, "VALIDATION_ERROR")
