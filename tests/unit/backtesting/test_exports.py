from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest

from ktrdr.backtesting import exports
from ktrdr.backtesting.exports import report_files
from ktrdr.backtesting.report import report

from .simulations import Finished, finished, idle, portfolio

COLUMNS = [
    "pair",
    "open_date",
    "close_date",
    "open_rate",
    "close_rate",
    "amount",
    "fee",
    "profit_abs",
    "profit_ratio",
    "trade_duration",
    "bars",
    "exit_reason",
    "is_short",
]


def written(case: Finished) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    whole = report(case.result, case.bars, case.symbols, case.rules, 252.0)
    return report_files(whole, case.result, case.bars), whole["trades"]


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.mark.parametrize("make", [finished, portfolio, idle])
def test_every_format_holds_the_same_trades(make: type) -> None:
    """Parquet, CSV and JSON read back as the rows of the report, every float to the bit."""
    files, rows = written(make())
    table = parquet.read_table(io.BytesIO(files["trades.parquet"]))
    assert table.column_names == COLUMNS
    stored = [
        {**row, **{name: f"{row[name]:%Y-%m-%dT%H:%M:%SZ}" for name in ("open_date", "close_date")}}
        for row in table.to_pylist()
    ]
    assert stored == rows == json.loads(files["trades.json"]) == json.loads(files["report.json"])["trades"]
    texts = rows_of(files["trades.csv"])
    for text, row in zip(texts, rows, strict=True):
        assert list(text) == COLUMNS
        for name, value in row.items():
            if isinstance(value, float):
                assert float(text[name]) == value
            else:
                assert text[name] == (str(value).lower() if isinstance(value, bool) else str(value))


@pytest.mark.parametrize("make", [finished, portfolio])
def test_every_format_holds_the_same_equity(make: type) -> None:
    """The worth at every bar, the benchmark's and the drawdown, to the bit, with their times."""
    case = make()
    files, _ = written(case)
    table = parquet.read_table(io.BytesIO(files["equity.parquet"]))
    texts, columns = rows_of(files["equity.csv"]), json.loads(files["equity.json"])
    assert table.column_names == list(texts[0]) == ["date", "equity", "benchmark", "drawdown"]
    assert columns["equity"] == table["equity"].to_pylist() == case.result.equity.tolist()
    for name in ("equity", "benchmark", "drawdown"):
        assert [float(row[name]) for row in texts] == columns[name] == table[name].to_pylist()
    when = [datetime.fromtimestamp(one, UTC) for one in case.bars.time[case.result.first :].tolist()]
    assert table["date"].to_pylist() == when
    assert [datetime.fromisoformat(one) for one in columns["date"]] == when
    assert [row["date"] for row in texts] == columns["date"]


def test_pandas_reads_the_times_as_utc() -> None:
    """In Parquet a time is a timestamp with its zone, also of a table without a row."""
    for case in (finished(), idle()):
        files, _ = written(case)
        frame = pandas.read_parquet(io.BytesIO(files["trades.parquet"]))
        assert str(frame.dtypes["open_date"]) == "datetime64[ms, UTC]"
        assert str(frame.dtypes["profit_abs"]) == "float64"


def test_the_same_result_gives_the_same_bytes() -> None:
    """Every file is a function of the result: its hash can be compared after a resume."""
    assert written(finished())[0] == written(finished())[0]


def test_a_name_with_quotes_and_commas_stays_one_field() -> None:
    """CSV is quoted as RFC 4180 says."""
    case = finished(200)
    files, _ = written(Finished(case.result, case.bars, case.rules, ('A "B", C\nD',)))
    assert {row["pair"] for row in rows_of(files["trades.csv"])} == {'A "B", C\nD'}


def test_a_long_equity_curve_is_parquet_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit text would take seconds and tens of megabytes; the trades are text still."""
    monkeypatch.setattr(exports, "TEXT_BARS", 100)
    assert set(written(finished(200, first=100))[0]) - set(written(finished(200, first=99))[0]) == {
        "equity.csv",
        "equity.json",
    }


def test_extreme_numbers_survive() -> None:
    """The smallest and the largest float, and a third, read back from CSV as themselves."""
    values = np.array([5e-324, 1.7976931348623157e308, 1 / 3, -0.0])
    import pyarrow

    text = exports.as_csv(pyarrow.table({"value": values}))
    assert [float(row["value"]) for row in rows_of(text)] == values.tolist()
