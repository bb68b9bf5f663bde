"""Backtests without a session: a model to backtest, and a long series whose middle can be hit."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from typing import Any

import pyarrow
import pyarrow.parquet

from tests.integration.backend import Backend
from tests.integration.interruptions import Point, resumed_after
from tests.integration.strategies import SMALL
from tests.integration.trainings import await_completed, begin
from tests.unit.data.series import walk

MINUTES = 300_000


def minutely() -> dict[str, Any]:
    """SMALL on minutes: two small networks, two epochs each, that trade often."""
    config: dict[str, Any] = copy.deepcopy(SMALL)
    config["training_data"] |= {"symbols": {"symbol": "TICK"}, "timeframes": {"timeframe": "1m"}}
    config["training"] |= {"epochs": 2, "batch_size": 8192, "walk_forward": {"folds": 1}}
    config["decisions"] |= {"confidence_threshold": 0.0, "cost_model": {"round_trip_cost": 0.00002}}
    return config


def import_minutes(backend: Backend, bars: int = MINUTES) -> None:
    """A generated series as a Parquet file over HTTP."""
    made = walk("1m", bars)
    names = ("time", "open", "high", "low", "close", "volume")
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: getattr(made, name) for name in names}), file)
    where = {"symbol": "TICK", "timeframe": "1m"}
    answer = backend.client.post("/data/import", params=where, content=file.getvalue(), timeout=60.0)
    assert answer.status_code == 201, answer.text


def trained_on_minutes(backend: Backend) -> str:
    """The id of a completed training of `minutely`, on bars that are imported for it."""
    import_minutes(backend)
    training = begin(backend, minutely(), dataset=None)
    await_completed(backend, training)
    return training


def start(backend: Backend, **body: Any) -> Any:
    return backend.client.post("/backtests/start", json=body)


def backtest(backend: Backend, **body: Any) -> Mapping[str, Any]:
    """A backtest once it is COMPLETED."""
    answer = start(backend, **body)
    assert answer.status_code == 202, answer.text
    return await_completed(backend, answer.json()["data"]["operation_id"])


def interrupted(backend: Backend, at: list[Point], **body: Any) -> Mapping[str, Any]:
    """The same, interrupted at every point and resumed."""
    answer = start(backend, **body)
    assert answer.status_code == 202, answer.text
    return resumed_after(backend, answer.json()["data"]["operation_id"], at, "bar")


def comparable(done: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result without the place of its files: every figure, every hash, and every file of the report."""
    result = dict(done["result"])
    files = result.pop("report")["files"]
    assert {"trades_sha256", "equity_sha256"} <= result.keys()
    return {**result, "files": files}
