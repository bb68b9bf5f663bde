"""From somebody's file to a trained strategy, over real HTTP."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.loading import load_market
from ktrdr.domain.strategies import parse_strategy
from tests.integration.backend import Backend
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import SMALL
from tests.integration.test_bad_input import refused
from tests.integration.trainings import await_checkpoint, await_completed
from tests.unit.data.series import walk
from tests.unit.data.test_importing import as_csv

BARS = 1500


@pytest.fixture
def one(sqlite_backend: BackendFactory) -> Backend:
    backend = sqlite_backend()
    backend.start()
    return backend


def on(symbols: Any, timeframes: Any, **training: Any) -> dict[str, Any]:
    """SMALL on other data."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training_data"] |= {"symbols": symbols, "timeframes": timeframes}
    config["training"] |= training
    return config


def hourly(symbol: str = "EUR/USD", **training: Any) -> dict[str, Any]:
    return on({"symbol": symbol}, {"timeframe": "1h"}, **training)


def imported(backend: Backend, symbol: str, text: str, **more: Any) -> dict[str, Any]:
    where = {"symbol": symbol, "timeframe": "1h", **more}
    answer = backend.client.post("/data/import", params=where, content=text)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def started(backend: Backend, strategy: dict[str, Any], **more: Any) -> str:
    answer = backend.client.post("/training/start", json={"strategy": strategy, "seed": 3, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["operation_id"])


def test_a_file_is_imported_and_a_strategy_trained_on_it(one: Backend, tmp_path: Path) -> None:
    """With the command line: bad rows refuse the file and change nothing; corrected, it is learnt from."""
    text = as_csv(walk("1h", BARS))
    path = tmp_path / "eurusd.csv"
    path.write_text(text.replace(text.splitlines()[700], "2024-01-30 03:00,1,2,3"))
    command = [sys.executable, "-m", "ktrdr.cli", "data", "import", str(path)]
    command += ["--symbol", "EUR/USD", "--timeframe", "1h"]
    environment = {**one.variables(), "KTRDR_URL": f"http://127.0.0.1:{one.port}"}
    failed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "line 701: too few fields" in failed.stderr
    assert [found["key"] for found in one.get("/data")] == ["nasdaq"]
    error = refused(one.client.post("/training/start", json={"strategy": hourly()}), 422, "VALIDATION_ERROR")
    assert (
        "ktrdr data import FILE --symbol EUR/USD --timeframe 1h" in error["details"]["errors"][0]["message"]
    )

    path.write_text(text)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    key = one.get("/data")[1]["key"]
    assert f"Imported {key}: 1,500 bars." in done.stdout
    result = await_completed(one, started(one, hourly(epochs=3)))["result"]
    assert len(result["weights_sha256"]) == 64
    error = refused(
        one.client.post("/training/start", json={"strategy": hourly(), "dataset": "nasdaq"}),
        422,
        "VALIDATION_ERROR",
    )
    assert f"which is '{key}', not 'nasdaq'" in error["message"]


def test_a_resume_on_other_data_is_refused(one: Backend) -> None:
    """The checkpoint belongs to the bars it was learnt from; force goes on regardless."""
    imported(one, "EUR/USD", as_csv(walk("1h", BARS)))
    training = started(one, hourly(epochs=10_000))
    await_checkpoint(one, training)
    assert one.client.post(f"/operations/{training}/cancel").status_code == 202
    one.await_status(training, "CANCELLED")
    imported(one, "EUR/USD", as_csv(walk("1h", BARS, seed=9)), replace=True)
    error = refused(one.resume(training), 409, "CHECKPOINT_INCOMPATIBLE")
    [(name, change)] = error["details"]["difference"].items()
    assert (name.startswith("data.eur-usd."), set(change)) == (True, {"checkpoint", "now"})
    assert f"{name}: {change['checkpoint']} -> {change['now']}" in error["message"]


def test_a_session_designs_for_an_imported_data_set(one: Backend) -> None:
    """The designer is told the symbol, the timeframe and where development ends."""
    data = imported(one, "EURUSD", as_csv(walk("1h", BARS)))
    _, session_id = one.trigger(dataset=data["key"], seed=1)
    one.await_phase("TRAINING")
    config = one.get(f"/agent/sessions/{session_id}")["strategy_config"]
    assert config["training_data"]["symbols"]["symbol"] == "EURUSD"
    assert config["training_data"]["timeframes"]["timeframe"] == "1h"
    assert config["training_data"]["date_range"]["end"] == data["development_end"]


def test_two_symbols_at_two_timeframes_are_loaded_and_learnt_from(one: Backend) -> None:
    """From what was imported over HTTP: the days are made of the hours, up to where development ends."""
    first = imported(one, "EUR/USD", as_csv(walk("1h", BARS)))
    imported(one, "^GSPC", as_csv(walk("1h", BARS, seed=2)))
    symbols = {"mode": "multi_symbol", "list": ["EUR/USD", "^GSPC"]}
    frames = {"mode": "multi_timeframe", "list": ["1h", "1d"], "base_timeframe": "1h"}
    config = on(symbols, frames, epochs=3)
    strategy = parse_strategy(config)
    catalog = Catalog(one.home / "data")
    assert catalog.dataset_of(strategy).key == first["key"]
    market = load_market(catalog, strategy, with_holdout=False)
    assert {key: len(bars) for key, bars in market.series.items()} == {
        ("EUR/USD", "1h"): 46 * 24,
        ("EUR/USD", "1d"): 46,
        ("^GSPC", "1h"): 46 * 24,
        ("^GSPC", "1d"): 46,
    }
    result = await_completed(one, started(one, config))["result"]
    assert len(result["weights_sha256"]) == 64
