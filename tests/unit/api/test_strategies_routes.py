"""Strategy files over HTTP: the same validator as everywhere, with lines where there is a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from ktrdr.api import errors
from ktrdr.api.routes import strategies
from ktrdr.api.services.strategies_service import StrategiesService
from ktrdr.domain.strategies import parse_strategy
from tests.integration.strategies import SMALL
from tests.unit.grammar.whole import TEXT, whole


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "strategies"


@pytest.fixture
def api(folder: Path) -> TestClient:
    app = FastAPI()
    errors.install(app)
    app.include_router(strategies.router(StrategiesService(folder)))
    return TestClient(app)


def data(api: TestClient, path: str, body: Any = None) -> Any:
    answer = api.get(path) if body is None else api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_a_valid_text_has_its_features_and_says_what_is_not_acted_on(api: TestClient) -> None:
    found = data(api, "/strategies/validate", {"text": TEXT})
    assert (found["valid"], found["name"], found["errors"]) == (True, "momentum_demo", [])
    assert found["features"][0] == "1d_rsi_momentum_oversold"
    assert {"path": "decisions.cost_model.min_edge_multiplier", "line": 31}.items() <= found["warnings"][
        0
    ].items()
    assert found["strategy"] == whole()


def test_a_mistake_has_path_line_message_and_closest_name(api: TestClient) -> None:
    found = data(api, "/strategies/validate", {"text": TEXT.replace("epochs:", "ephocs:")})
    assert found["valid"] is False
    (one,) = found["errors"]
    assert (one["path"], one["line"], one["closest"]) == ("training.ephocs", 35, "epochs")
    assert one["message"] == "unknown key 'ephocs'; did you mean 'epochs'?"


def test_a_strategy_as_a_mapping_has_the_same_mistakes_without_lines(api: TestClient) -> None:
    config = whole()
    config["training"]["ephocs"] = config["training"].pop("epochs")
    (one,) = data(api, "/strategies/validate", {"strategy": config})["errors"]
    assert (one["path"], one["line"], one["closest"]) == ("training.ephocs", None, "epochs")


def test_what_validates_without_anything_to_wait_for_is_what_a_training_takes(api: TestClient) -> None:
    found = data(api, "/strategies/validate", {"strategy": SMALL})
    assert (found["valid"], found["warnings"]) == (True, [])
    assert parse_strategy(SMALL).name == found["name"]


@pytest.mark.parametrize("body", [{}, {"text": "a: 1", "strategy": {}}, {"txt": ""}])
def test_text_or_strategy_is_sent(api: TestClient, body: Any) -> None:
    answer = api.post("/strategies/validate", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("text", ["", "a: &x [*x]", "name: .nan", "[1]", "a: 1e999"])
def test_no_text_is_a_server_error(api: TestClient, text: str) -> None:
    assert data(api, "/strategies/validate", {"text": text})["valid"] is False


def test_the_files_of_the_home_are_listed_and_shown(api: TestClient, folder: Path) -> None:
    assert data(api, "/strategies") == []
    folder.mkdir()
    (folder / "mine.yaml").write_text(data(api, "/strategies/template?name=mine")["text"])
    (folder / "later.yaml").write_text(TEXT)
    (folder / "wrong.yaml").write_text("name: x\nname: y\n")
    (folder / "latin.yaml").write_bytes(b"name: \xe9")
    (folder / "schema.yaml").write_text(TEXT)
    (folder / "notes.txt").write_text("no strategy")
    (folder / "not a key.yaml").write_text(TEXT)
    found = {one["name"]: one["valid"] for one in data(api, "/strategies")}
    assert found == {
        "later": True,
        "latin": False,
        "mine": True,
        "schema": False,
        "wrong": False,
    }
    shown = data(api, "/strategies/later")
    assert (shown["text"], shown["report"]["name"]) == (TEXT, "momentum_demo")


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e%2fmine", "a%2fb"])
def test_what_is_no_file_of_the_folder_is_not_found(api: TestClient, folder: Path, name: str) -> None:
    folder.mkdir()
    (folder.parent / "mine.yaml").write_text(TEXT)
    assert api.get(f"/strategies/{name}").status_code in (404, 422)
    assert api.get("/strategies/nobody").json()["error"]["code"] == "STRATEGY_NOT_FOUND"


def test_the_schema_is_published(api: TestClient) -> None:
    schema = data(api, "/strategies/schema")
    assert list(Draft202012Validator(schema).iter_errors(whole())) == []


@pytest.mark.parametrize("name", ["a: b", "../x", "", "x" * 81, 'a"b'])
def test_a_template_needs_a_name_that_is_one(api: TestClient, name: str) -> None:
    assert api.get("/strategies/template", params={"name": name}).status_code == 422
