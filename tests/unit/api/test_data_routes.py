"""Data sets over HTTP: files are read in another process, and nothing of a refused one is kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ktrdr.api import errors
from ktrdr.api.guard import Guard
from ktrdr.api.routes import data
from ktrdr.api.services.data_service import DataService
from ktrdr.data.catalog import Catalog
from ktrdr.data.child import ask
from ktrdr.domain.errors import DataProcessFailed
from tests.unit.data.series import walk
from tests.unit.data.test_importing import as_csv

HOURS = as_csv(walk("1h", 24 * 8))
WHERE = {"symbol": "EUR/USD", "timeframe": "1h"}
MAX_BYTES = 2_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def api(root: Path) -> TestClient:
    app = FastAPI()
    errors.install(app)
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    app.include_router(data.router(DataService(Catalog(root), max_bytes=MAX_BYTES, now=lambda: moment)))
    return TestClient(Guard(app, hosts=["testserver"], token=None, streams={data.IMPORT_PATH}))


def found(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def refused(answer: Any, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    return answer.json()["error"]


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "incoming").iterdir())


def test_an_imported_file_is_a_data_set(api: TestClient, root: Path) -> None:
    """With its segments, its hash, what its checks found, and nothing left of the file itself."""
    done = found(api.post("/data/import", params=WHERE | {"source": "eu.csv"}, content=HOURS), 201)
    assert (done["symbol"], done["bars"], done["dropped_rows"]) == ("EUR/USD", 192, 0)
    assert (done["start"], done["holdout_start"], done["end"]) == ("2024-01-01", "2024-01-07", "2024-01-08")
    assert (done["source"], done["imported_at"]) == ("eu.csv", "2026-01-02T03:04:05+00:00")
    assert [one["key"] for one in found(api.get("/data"))] == ["nasdaq", done["key"]]
    shown = found(api.get(f"/data/{done['key']}"))
    assert shown["sha256"] == done["sha256"]
    assert shown["checks"] == found(api.get(f"/data/{done['key']}/check"))
    assert shown["checks"]["first"][0]["time"] == "2024-01-01T00:00:00Z"
    assert left(root) == []


def test_a_file_with_bad_rows_changes_nothing(api: TestClient, root: Path) -> None:
    """The answer names each line; `ktrdr` prints them as it prints a strategy's mistakes."""
    body = HOURS + "2024-02-01 00:00,1,2,3,x,5\n"
    error = refused(api.post("/data/import", params=WHERE, content=body), 422, "IMPORT_REFUSED")
    assert error["details"]["rows"] == [{"line": 194, "reason": "close is no number"}]
    assert error["details"]["errors"] == [{"path": "line 194", "message": "close is no number"}]
    assert [one["key"] for one in found(api.get("/data"))] == ["nasdaq"]
    assert left(root) == []
    kept = found(api.post("/data/import", params=WHERE | {"drop_bad_rows": True}, content=body), 201)
    assert kept["dropped"] == {"close is no number": 1}


def test_a_second_import_needs_to_be_meant(api: TestClient) -> None:
    found(api.post("/data/import", params=WHERE, content=HOURS), 201)
    refused(api.post("/data/import", params=WHERE, content=HOURS), 409, "DATASET_EXISTS")
    found(api.post("/data/import", params=WHERE | {"replace": True}, content=HOURS), 201)


def pieces(size: int) -> Iterator[bytes]:
    yield from (b"x" * 100_000 for _ in range(size // 100_000))


def test_a_file_beyond_the_limit_is_refused_whether_it_says_its_size_or_not(
    api: TestClient, root: Path
) -> None:
    """And one above the limit of every other request is not."""
    big = as_csv(walk("1m", 24_000))
    assert 1_000_000 < len(big) < MAX_BYTES
    found(api.post("/data/import", params={"symbol": "BIG", "timeframe": "1m"}, content=big), 201)
    for body in (b"x" * (MAX_BYTES + 1), pieces(MAX_BYTES + 100_000)):
        error = refused(api.post("/data/import", params=WHERE, content=body), 413, "FILE_TOO_LARGE")
        assert "KTRDR_MAX_IMPORT_BYTES" in error["message"]
    assert left(root) == []
    assert api.post("/data/download", content=b"x" * 1_000_001).status_code == 413


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "../x"},
        {"symbol": ""},
        {"timeframe": "7m"},
        {"holdout_start": "soon"},
        {"symbol": "NASDAQ", "timeframe": "1d"},
        {"timezone": "Mars/Olympus"},
    ],
)
def test_a_bad_request_stores_nothing(api: TestClient, root: Path, wrong: dict[str, str]) -> None:
    refused(api.post("/data/import", params=WHERE | wrong, content=HOURS), 422, "VALIDATION_ERROR")
    assert [one["key"] for one in found(api.get("/data"))] == ["nasdaq"]


@pytest.mark.parametrize("path", ["/data/none", "/data/none/check"])
def test_a_data_set_that_is_not_there_is_404(api: TestClient, path: str) -> None:
    error = refused(api.get(path), 404, "DATASET_NOT_FOUND")
    assert "Known: nasdaq. Import one: ktrdr data import" in error["message"]


def test_damaged_bars_are_found_by_the_check(api: TestClient, root: Path) -> None:
    key = found(api.post("/data/import", params=WHERE, content=HOURS), 201)["key"]
    next((root / key).glob("*.parquet")).write_bytes(b"PAR1")
    error = refused(api.get(f"/data/{key}/check"), 422, "DATASET_CORRUPTED")
    assert "--replace" in error["message"]


def test_the_built_in_data_set_is_shown_like_any_other(api: TestClient) -> None:
    shown = found(api.get("/data/nasdaq"))
    assert (shown["bars"], shown["source"]) == (5031, "built in")
    assert shown["checks"]["last"][-1]["time"] == "2018-12-31T00:00:00Z"


def test_a_provider_without_its_library_says_what_to_install(api: TestClient) -> None:
    """Whichever of the two is not there; the tests' environment has none."""
    body = {"provider": "ccxt", "symbol": "BTC/USDT", "timeframe": "1h", "start": "2024-01-01"}
    error = refused(api.post("/data/download", json=body | {"end": "2024-01-02"}), 422, "EXTRA_NOT_INSTALLED")
    assert "pip install 'ktrdr[ccxt]'" in error["message"]


def test_what_a_killed_backend_left_is_removed(api: TestClient, root: Path) -> None:
    """What another live backend is receiving is not."""
    folder = root / "incoming"
    folder.mkdir(parents=True)
    alive = os.getppid()
    for name in (f"{alive}-mine", f"{os.getpid()}-before", "999999999-dead", "stray"):
        (folder / name).write_bytes(b"x")
    found(api.post("/data/import", params=WHERE, content=HOURS), 201)
    assert left(root) == [f"{alive}-mine"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os; os._exit(3)", "ended with 3 and no answer: it said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("print('hello')", "no answer"),
    ],
)
@pytest.mark.anyio
async def test_a_process_that_dies_is_an_answer(source: str, said: str) -> None:
    with pytest.raises(DataProcessFailed, match=said):
        await ask("check", None, {}, command=(sys.executable, "-c", source), timeout=30.0)


@pytest.mark.anyio
async def test_a_process_that_takes_too_long_is_ended() -> None:
    sleeping = (sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(DataProcessFailed, match=r"took longer than 0\.2 s"):
        await ask("check", None, {}, command=sleeping, timeout=0.2)


@pytest.mark.anyio
async def test_the_process_is_bounded_and_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is limited before anything of the file is read, and its environment is a short list."""
    monkeypatch.setenv("KTRDR_TOKEN", "secret")
    source = (
        "import json, os, resource, sys; sys.argv = ['x', 'check', '']; import ktrdr.data.__main__ as m; "
        "m._run = lambda *_: {'limit': resource.getrlimit(resource.RLIMIT_AS)[0], 'seen': list(os.environ)}; "
        "m.main()"
    )
    answer = await ask("check", None, {}, command=(sys.executable, "-c", source), timeout=30.0)
    assert answer["limit"] == 4 * 2**30
    assert "KTRDR_TOKEN" not in answer["seen"]
