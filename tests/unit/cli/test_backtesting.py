"""`ktrdr backtest` and `ktrdr operations report`: what is sent, what a person sees, what is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ktrdr.cli import watch
from ktrdr.cli.watch import follow_operation
from tests.unit.cli.conftest import Answers
from tests.unit.cli.test_commands import OPERATION
from tests.unit.cli.test_strategies import BAD, GOOD
from tests.unit.cli.test_training import Told

Ktrdr = Callable[..., tuple[int, str, str]]

RESULT: dict[str, Any] = {
    "metrics": {
        "total_return": 0.125,
        "buy_and_hold_return": -0.05,
        "sharpe": 1.234,
        "buy_and_hold_sharpe": None,
        "trades": 1203,
        "profit_factor": None,
    },
    "exit_reasons": {"signal": 1100, "stop_loss": 103},
    "trades_sha256": "0123",
    "equity_sha256": "4567",
    "bars": 1861,
    "first": "2006-07-05T00:00:00+00:00",
    "last": "2013-12-31T00:00:00+00:00",
    "segment": "validation",
    "report": {"path": "backtest_1.report/ab12", "files": {}},
}
DETAIL = {
    "bar": 1500,
    "bars": 300_000,
    "date": "2013-12-31T23:59:00+00:00",
    "equity": 98_765.4,
    "profit_ratio": -0.012346,
    "trades": 1203,
}
RUNNING: dict[str, Any] = OPERATION | {
    "operation_id": "backtest_1",
    "operation_type": "backtesting",
    "status": "RUNNING",
    "progress": {"percent": 0.5, "message": "bar 1,500 of 300,000, 2013-12-31", "detail": DETAIL},
    "error_code": None,
    "error_message": None,
    "resumable": False,
    "training_operation_id": "training_1",
}
DONE = RUNNING | {"status": "COMPLETED", "result": RESULT, "checkpoint": None}


@pytest.fixture
def started(backend: Answers) -> Answers:
    backend.give("POST /backtests/start", RUNNING)
    backend.give("GET /operations/backtest_1", DONE)
    return backend


def lines(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_days_and_rules_are_sent_as_they_are_written(started: Answers, ktrdr: Ktrdr) -> None:
    """And nothing that was left out: that is the strategy's to say."""
    words = "backtest training_1 --timerange -20101231 --fee 0.001 --slippage 0 --capital 5000"
    status, out, _ = ktrdr(
        *words.split(), "--stop-loss", "0.05", "--take-profit", "0.2", "--position-fraction", "0.5"
    )
    assert status == 0
    assert started.asked[-1] == (
        "POST /backtests/start",
        {
            "training_operation_id": "training_1",
            "timerange": "-20101231",
            "fee": 0.001,
            "slippage": 0.0,
            "capital": 5000.0,
            "stop_loss": 0.05,
            "take_profit": 0.2,
            "position_fraction": 0.5,
            "resources": {"num_cpus": 1},
        },
    )
    assert out.splitlines() == [
        "Backtest of training_1 started (backtest_1).",
        "Follow it: ktrdr operations watch backtest_1",
    ]


def test_a_strategy_file_is_sent_instead_of_a_training(
    started: Answers, ktrdr: Ktrdr, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: mine\n")
    started.give("POST /strategies/validate", GOOD)
    assert ktrdr("backtest", str(path))[0] == 0
    assert started.asked[-1][1] == {"strategy": {"name": "mine"}, "resources": {"num_cpus": 1}}
    started.give("POST /strategies/validate", BAD)
    status, _, err = ktrdr("backtest", str(path))
    assert (status, err) == (1, f"{path}:7: training.ephocs: unknown key; did you mean 'epochs'?\n")


def test_it_ends_with_the_figures_beside_buy_and_hold(started: Answers, ktrdr: Ktrdr) -> None:
    """What is not known is a dash, and what buying and holding has not is empty."""
    status, out, _ = ktrdr("backtest", "training_1", "--watch")
    assert status == 0
    shown = lines(out)
    assert "Backtest (1,861 bars, 2006-07-05 to 2013-12-31, after costs)" in shown
    assert "validation rows: each bar was predicted by networks that never saw it" in shown
    assert "STRATEGY BUY AND HOLD" in shown
    assert "total return +12.50% -5.00%" in shown
    assert "Sharpe ratio 1.23 -" in shown
    assert "trades 1,203" in shown
    assert "profit factor -" in shown
    assert shown[shown.index("Exits") + 1 :][:2] == ["signal 1,100", "stop loss 103"]
    assert "files $KTRDR_HOME/artifacts/backtest_1.report/ab12" in shown
    assert ktrdr("operations", "show", "backtest_1")[1].endswith(out.partition("\n\n")[2])


def test_a_strategy_that_never_traded_is_told_what_to_change(started: Answers, ktrdr: Ktrdr) -> None:
    idle = RESULT | {"metrics": RESULT["metrics"] | {"trades": 0}, "exit_reasons": {}}
    started.give("GET /operations/backtest_1", DONE | {"result": idle})
    out = ktrdr("operations", "show", "backtest_1")[1]
    assert "It never traded: lower decisions.confidence_threshold" in out
    assert "Exits" not in out


def test_a_backtest_of_an_older_ktrdr_is_shown_with_what_it_has(started: Answers, ktrdr: Ktrdr) -> None:
    older = {"metrics": {"sharpe": 1.0, "trades": 3}, "bars": 10, "trades": []}
    started.give("GET /operations/backtest_1", DONE | {"result": older})
    status, out, _ = ktrdr("operations", "show", "backtest_1")
    assert (status, "Report" in out) == (0, False)
    assert "Backtest (10 bars, after costs)" in lines(out)


def test_files_are_written_by_their_names(started: Answers, ktrdr: Ktrdr, tmp_path: Path) -> None:
    """They imply following; each is what the backend served, byte for byte."""
    served = {"report.html": b"<html>", "report/trades": b"pair\r\n", "report/equity": b"PAR1\x00"}
    for name, content in served.items():
        started.known[f"GET /operations/backtest_1/{name}"] = (200, content)
    paths = [tmp_path / name for name in ("sheet.html", "t.csv", "e.PARQUET")]
    options = ("--html", "--export", "--equity")
    words = [word for pair in zip(options, map(str, paths), strict=True) for word in pair]
    for command in (("backtest", "training_1"), ("operations", "report", "backtest_1")):
        status, out, _ = ktrdr(*command, *words)
        assert status == 0
        assert [path.read_bytes() for path in paths] == [*served.values()]
        assert f"Wrote {paths[1]} (6 bytes)." in out
    assert started.asked[-1][0] == "GET /operations/backtest_1/report/equity?format=parquet"


def test_a_file_of_no_known_kind_is_refused_before_anything_is_started(
    started: Answers, ktrdr: Ktrdr
) -> None:
    status, _, err = ktrdr("backtest", "training_1", "--export", "trades.xlsx")
    assert (status, started.asked) == (2, [])
    assert "name it .csv, .json or .parquet" in err


def test_a_report_that_is_not_there_is_said_and_nothing_written(
    started: Answers, ktrdr: Ktrdr, tmp_path: Path
) -> None:
    message = "Operation 'backtest_1' has no such report: it is RUNNING."
    for name in ("report", "report.html"):
        started.refuse(f"GET /operations/backtest_1/{name}", 404, "REPORT_NOT_FOUND", message)
    for words in ((), ("--json",), ("--html", str(tmp_path / "x.html"))):
        status, _, err = ktrdr("operations", "report", "backtest_1", *words)
        assert (status, err) == (1, f"REPORT_NOT_FOUND {message}\n")
    assert [*tmp_path.iterdir()] == []


def test_for_programs_stdout_is_the_report_alone(started: Answers, ktrdr: Ktrdr) -> None:
    started.known["GET /operations/backtest_1/report"] = (200, b'{"schema":1}')
    assert json.loads(ktrdr("operations", "report", "backtest_1", "--json")[1]) == {"schema": 1}
    assert json.loads(ktrdr("backtest", "training_1", "--json")[1]) == RUNNING
    assert json.loads(ktrdr("backtest", "training_1", "--json", "--watch")[1]) == DONE


@pytest.mark.parametrize("terminal", [True, False])
def test_date_and_profit_are_seen_while_it_runs(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(watch, "LINE_SECONDS", 0.0)
    monkeypatch.setitem(os.environ, "KTRDR_URL", "http://127.0.0.1:1")
    out = StringIO()
    shown = Console(file=out, force_terminal=terminal, width=90, highlight=False)
    assert follow_operation(Told(RUNNING, RUNNING, DONE), "backtest_1", console=shown) is DONE
    said = ["bar 1,500 of 300,000, 2013-12-31"]
    if terminal:
        said += ["2013-12-31 23:59", "profit -1.23%, equity 98,765.40, 1,203 trades"]
    assert all(one in out.getvalue() for one in said)
