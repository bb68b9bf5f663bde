"""Backtests without a session, over real HTTP and by real workers: what is asked for, and what is served."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backend import Backend
from tests.integration.backtests import backtest, comparable, interrupted, start, trained_on_minutes
from tests.integration.conftest import free_port
from tests.integration.interruptions import points
from tests.integration.strategies import SMALL
from tests.integration.test_bad_input import refused
from tests.integration.trainings import await_completed, begin, lasting

FILES = {"trades.csv", "trades.json", "trades.parquet", "equity.csv", "equity.json", "equity.parquet"}
DAILY = lasting(3)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    one = Backend(tmp_path_factory.mktemp("backtests") / "home", free_port(), KTRDR_WORKER_SLOTS="2")
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def training(backend: Backend) -> str:
    """A completed training on daily bars."""
    operation_id = begin(backend, DAILY)
    await_completed(backend, operation_id)
    return operation_id


def test_four_interruptions_change_nothing(backend: Backend) -> None:
    """The short form of the twenty of tests/kills/test_backtest_interruptions.py."""
    minutes = trained_on_minutes(backend)
    whole = backtest(backend, training_operation_id=minutes)
    slow = whole["result"]["bars"] / 10.0  # some ten seconds
    hit = interrupted(backend, points(4, seed=2), training_operation_id=minutes, bars_per_second=slow)
    assert comparable(hit) == comparable(whole)


def test_days_are_cut_out_of_the_validation_segment(backend: Backend, training: str) -> None:
    """Both ends included; an open end is the segment's own."""
    whole = backtest(backend, training_operation_id=training)["result"]
    segment = backend.operation(training)["result"]["validation"]
    assert {name: whole[name][:10] for name in ("first", "last")} == segment
    some = backtest(backend, training_operation_id=training, timerange="20090105-20101230")["result"]
    assert (some["first"][:10], some["last"][:10]) == ("2009-01-05", "2010-12-30")
    rest = backtest(backend, training_operation_id=training, timerange="20090105-")["result"]
    assert (rest["first"][:10], rest["last"]) == ("2009-01-05", whole["last"])
    assert some["bars"] < rest["bars"] < whole["bars"]


@pytest.mark.parametrize(
    ("timerange", "said"),
    [
        ("20100101-20150101", "in the holdout, which is sealed"),
        ("19990101-20101231", "did not learn from"),
        ("2010", "not a range of days"),
    ],
)
def test_other_days_are_refused_and_the_right_ones_named(
    backend: Backend, training: str, timerange: str, said: str
) -> None:
    answer = start(backend, training_operation_id=training, timerange=timerange)
    assert said in refused(answer, 422, "VALIDATION_ERROR")["message"]


def test_days_without_bars_fail_with_their_number(backend: Backend, training: str) -> None:
    """A weekend lies in the segment and has nothing to trade."""
    started = start(backend, training_operation_id=training, timerange="20100102-20100103")
    failed = backend.await_status(started.json()["data"]["operation_id"], "FAILED")
    assert failed["error_code"] == "NOT_ENOUGH_DATA"
    assert failed["error_message"].startswith("0 bars of the validation segment lie in 20100102-20100103")


def test_rules_of_the_request_override_those_of_the_strategy(backend: Backend, training: str) -> None:
    """And both are in the report's meta, with what was left to the strategy."""
    given = {"capital": 5000.0, "fee": 0.002, "slippage": 0.001, "position_fraction": 0.5, "stop_loss": 0.03}
    done = backtest(backend, training_operation_id=training, **given)
    report = backend.client.get(f"/operations/{done['operation_id']}/report").json()
    rules = report["meta"]["rules"]
    given["fraction"] = given.pop("position_fraction")
    assert {name: rules[name] for name in given} == given
    assert (rules["take_profit"], rules["shorts"]) == (None, True)
    assert "stop_loss" in done["result"]["exit_reasons"]
    free = backtest(backend, training_operation_id=training, fee=0.0)["result"]
    dear = backtest(backend, training_operation_id=training, fee=0.01)["result"]
    assert free["metrics"]["total_return"] > dear["metrics"]["total_return"]


@pytest.mark.parametrize(
    "wrong", [{"fee": 0.6}, {"stop_loss": 1.5}, {"capital": 0}, {"position_fraction": 2}, {"stop": 0.1}]
)
def test_rules_that_make_no_sense_are_refused_by_name(
    backend: Backend, training: str, wrong: dict[str, float]
) -> None:
    error = refused(start(backend, training_operation_id=training, **wrong), 422, "VALIDATION_ERROR")
    assert next(iter(wrong)) in error["message"]


def test_a_strategy_stands_for_its_latest_training(backend: Backend, training: str) -> None:
    """Of exactly that strategy: one that says something else was not trained, and the message says how."""
    later = begin(backend, DAILY, seed=12)
    await_completed(backend, later)
    begin(backend, lasting(2000))  # another strategy, and not completed
    answer = start(backend, strategy=DAILY)
    assert answer.json()["data"]["training_operation_id"] == later
    await_completed(backend, answer.json()["data"]["operation_id"])
    changed: dict[str, Any] = copy.deepcopy(DAILY)
    changed["decisions"]["confidence_threshold"] = 0.5
    error = refused(start(backend, strategy=changed), 422, "VALIDATION_ERROR")
    assert "ktrdr train" in error["message"]
    assert training in error["details"]["other_versions"]
    refused(start(backend, strategy=SMALL, training_operation_id=training), 422, "VALIDATION_ERROR")
    refused(start(backend), 422, "VALIDATION_ERROR")


def test_a_training_that_has_not_completed_is_refused(backend: Backend) -> None:
    running = begin(backend, lasting(2000))
    error = refused(start(backend, training_operation_id=running), 422, "VALIDATION_ERROR")
    assert "is not a completed training" in error["message"]
    backend.client.post(f"/operations/{running}/cancel")


def test_the_files_of_the_report_are_served_as_they_were_written(backend: Backend, training: str) -> None:
    """Byte for byte, under the hashes that the row has."""
    done = backtest(backend, training_operation_id=training)
    operation_id, written = done["operation_id"], done["result"]["report"]["files"]
    assert FILES | {"report.json"} == written.keys()
    paths = {name: f"report/{name.partition('.')[0]}?format={name.partition('.')[2]}" for name in FILES}
    for name, path in {**paths, "report.json": "report"}.items():
        answer = backend.client.get(f"/operations/{operation_id}/{path}")
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == written[name]["sha256"]
        assert answer.headers["etag"] == f'"{written[name]["sha256"]}"'
    report = backend.client.get(f"/operations/{operation_id}/report").json()
    assert report["metrics"] == done["result"]["metrics"]
    assert len(report["trades"]) == done["result"]["metrics"]["trades"]


def test_the_tear_sheet_comes_with_a_policy_and_says_what_it_is_of(backend: Backend, training: str) -> None:
    """The browser is told to load nothing; the sheet names operation, training and rows."""
    done = backtest(backend, training_operation_id=training)
    answer = backend.client.get(f"/operations/{done['operation_id']}/report.html")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for said in (done["operation_id"], training, done["result"]["equity_sha256"], "Validation rows"):
        assert said in answer.text


def test_rows_that_a_training_stopped_by_are_not_called_unseen(backend: Backend) -> None:
    """`validation_split` alone leaves nothing to predict but what was watched, which flatters."""
    watched: dict[str, Any] = copy.deepcopy(DAILY)
    del watched["training"]["walk_forward"], watched["training"]["ensemble"]
    watched["training"]["validation_split"] = 0.2
    operation_id = begin(backend, watched)
    await_completed(backend, operation_id)
    done = backtest(backend, training_operation_id=operation_id)
    assert done["result"]["segment"] == "watched"
    sheet = backend.client.get(f"/operations/{done['operation_id']}/report.html").text
    assert "They flatter the strategy" in sheet


def test_a_report_that_was_changed_is_not_served(backend: Backend, training: str) -> None:
    """Corrupted is never reported as missing, nor missing as corrupted."""
    done = backtest(backend, training_operation_id=training)
    path = f"/operations/{done['operation_id']}/report"
    file = backend.home / "artifacts" / done["result"]["report"]["path"] / "trades.csv"
    os.chmod(file, 0o600)
    file.write_bytes(file.read_bytes() + b"NASDAQ,1,2\n")
    refused(backend.client.get(f"{path}/trades"), 422, "CHECKPOINT_CORRUPTED")
    assert backend.client.get(f"{path}/trades?format=json").status_code == 200
    file.unlink()
    refused(backend.client.get(f"{path}/trades"), 422, "CHECKPOINT_CORRUPTED")
    refused(backend.client.get(f"{path}/trades?format=xml"), 422, "VALIDATION_ERROR")
    error = refused(backend.client.get(f"/operations/{training}/report"), 404, "REPORT_NOT_FOUND")
    assert "it is training, not backtesting" in error["message"]
    refused(backend.client.get("/operations/nowhere/report"), 404, "OPERATION_NOT_FOUND")


def test_a_model_is_not_backtested_on_other_bars(backend: Backend, tmp_path: Path) -> None:
    """Its folds are rows of the bars that it was trained on."""
    from tests.integration.test_data import hourly, imported, started
    from tests.unit.data.series import walk
    from tests.unit.data.test_importing import as_csv

    imported(backend, "EUR/USD", as_csv(walk("1h", 1500)))
    operation_id = started(backend, hourly(epochs=2))
    await_completed(backend, operation_id)
    imported(backend, "EUR/USD", as_csv(walk("1h", 1500, seed=9)), replace=True)
    error = refused(start(backend, training_operation_id=operation_id), 422, "VALIDATION_ERROR")
    assert "imported anew" in error["message"]
