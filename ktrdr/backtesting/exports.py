"""The tables of a backtest as files: trades and equity, as Parquet, CSV and JSON.

Floats are written so that they read back as the same bits, in every format. Times are UTC: ISO 8601 in
text, and timestamps with their zone in Parquet.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtesting.curves import Candles, Curves, curves, iso_texts
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.domain.fingerprints import canonical_json

if TYPE_CHECKING:
    import pyarrow

TEXT_BARS = 100_000
_TRADES = {
    "pair": "string",
    "open_date": "date",
    "close_date": "date",
    "open_rate": "double",
    "close_rate": "double",
    "amount": "double",
    "fee": "double",
    "profit_abs": "double",
    "profit_ratio": "double",
    "trade_duration": "int64",
    "bars": "int64",
    "exit_reason": "string",
    "is_short": "bool",
}


def report_files(report: Mapping[str, Any], result: SimulationState, bars: Candles) -> dict[str, bytes]:
    """Every file of a report's generation, by name: `report.json` (canonical JSON), and the tables of
    trades and of equity at every bar as `.parquet`, `.csv` and `.json`.

    Equity of more than `TEXT_BARS` bars is Parquet alone: a million lines of text take seconds and
    eighty megabytes. The same result gives the same bytes. `report` is what `report` made of the same
    `result` and `bars`. Raises ValueError when it holds a number that JSON does not know.
    """
    trades, equity = trades_table(report["trades"]), equity_table(curves(result, bars))
    files = {
        "report.json": canonical_json(report).encode(),
        "trades.parquet": as_parquet(trades),
        "trades.csv": as_csv(trades),
        "trades.json": canonical_json(report["trades"]).encode(),
        "equity.parquet": as_parquet(equity),
    }
    if len(equity) <= TEXT_BARS:
        files["equity.csv"] = as_csv(equity)
        files["equity.json"] = canonical_json(written_out(equity).to_pydict()).encode()
    return files


def trades_table(rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
    """A report's trades, one a row; the columns of `report.trade_rows` in their order."""
    import pyarrow

    def column(name: str, kind: str) -> pyarrow.Array:
        values = [row[name] for row in rows]
        if kind == "date":
            return _dates(np.array([one.removesuffix("Z") for one in values], dtype="datetime64[s]"))
        return pyarrow.array(values, pyarrow.type_for_alias(kind))

    return pyarrow.table({name: column(name, kind) for name, kind in _TRADES.items()})


def equity_table(found: Curves) -> pyarrow.Table:
    """The worth at every bar: date, equity, benchmark (money) and drawdown (a fraction)."""
    import pyarrow

    return pyarrow.table(
        {
            "date": _dates(found.time.astype("datetime64[s]")),
            "equity": found.equity,
            "benchmark": found.benchmark,
            "drawdown": found.drawdown,
        }
    )


def as_parquet(table: pyarrow.Table) -> bytes:
    import pyarrow.parquet as parquet

    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def as_csv(table: pyarrow.Table) -> bytes:
    """With a line of names; text is quoted, and what is missing is empty."""
    import pyarrow.csv

    sink = io.BytesIO()
    pyarrow.csv.write_csv(written_out(table), sink)
    return sink.getvalue()


def written_out(table: pyarrow.Table) -> pyarrow.Table:
    """The table with its times as ISO 8601 text."""
    import pyarrow

    for at, name in enumerate(table.column_names):
        if pyarrow.types.is_timestamp(table.schema.field(name).type):
            milliseconds = table.column(name).cast(pyarrow.int64()).to_numpy()
            table = table.set_column(at, name, pyarrow.array(iso_texts(milliseconds // 1000)))
    return table


def _dates(times: NDArray[np.datetime64]) -> pyarrow.Array:
    import pyarrow

    # Parquet has no seconds; a millisecond is the coarsest that it keeps.
    return pyarrow.array(times.astype("datetime64[ms]").astype(np.int64), pyarrow.timestamp("ms", "UTC"))
