"""A file becomes a data set whole, or not at all; every row that is no bar is named by its line."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ktrdr.data.bars import COLUMNS, Bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.importing import Import, import_file
from ktrdr.data.loading import load_all, load_development
from ktrdr.data.storage import content_sha256
from ktrdr.data.timestamps import TimeOptions
from ktrdr.domain.errors import DatasetExists, ImportRefused, InvalidInput, KtrdrError
from ktrdr.domain.market import midnight
from tests.unit.data.series import walk

NOW = "2026-01-01T00:00:00+00:00"
GOOD = (
    "time,open,high,low,close,volume\n"
    "2024-01-01 00:00,10,12,9,11,100\n"
    "2024-01-01 01:00,11,12,9,10,100\n"
    "2024-01-02 02:00,10,12,9,11,100\n"
    "2024-01-03 03:00,11,12,9,10,100\n"
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "data")


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def wanted(symbol: str = "X", timeframe: str = "1h", **more: Any) -> Import:
    return Import(symbol, timeframe, "file.csv", NOW, **more)


def as_csv(bars: Bars, form: str = "%Y-%m-%d %H:%M") -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for at, seconds in enumerate(bars.time.tolist()):
        values = [float(getattr(bars, name)[at]) for name in COLUMNS[1:]]
        rows.writerow([datetime.fromtimestamp(seconds, UTC).strftime(form), *values])
    return text.getvalue()


def refused(catalog: Catalog, path: Path, one: Import) -> KtrdrError:
    """The refusal; nothing is left of the import."""
    with pytest.raises(KtrdrError) as error:
        import_file(catalog, path, one)
    assert list(catalog.specs()) == ["nasdaq"]
    return error.value


def test_a_file_gives_the_bars_that_are_in_it(catalog: Catalog, tmp_path: Path) -> None:
    bars = walk("1h", 500)
    report = import_file(catalog, written(tmp_path, as_csv(bars)), wanted("EUR/USD"))
    found = load_all(catalog, report["key"])
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(bars, name))
    spec = catalog.get(report["key"])
    assert (spec.symbol, spec.timeframe, spec.start) == ("EUR/USD", "1h", date(2024, 1, 1))
    assert (report["dropped_rows"], report["notes"]) == (0, ["times without a zone are read as UTC"])


def test_parquet_and_csv_of_the_same_bars_are_the_same_data(catalog: Catalog, tmp_path: Path) -> None:
    """The hash is of the bars, not of the file."""
    bars = walk("1h", 300)
    import_file(catalog, written(tmp_path, as_csv(bars)), wanted("A"))
    stamps = pyarrow.array(bars.time).cast(pyarrow.timestamp("s")).cast(pyarrow.timestamp("ns", "UTC"))
    columns = {"Datetime": stamps} | {name.title(): getattr(bars, name) for name in COLUMNS[1:]}
    path = tmp_path / "bars.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    report = import_file(catalog, path, wanted("B"))
    assert catalog.sha256(report["key"]) == catalog.sha256("a_1h") == content_sha256(bars)
    assert report["notes"] == []


@pytest.mark.parametrize("kind", ["int64 ms", "date32", "text", "naive"])
def test_a_parquet_files_time_may_be_of_any_kind(catalog: Catalog, tmp_path: Path, kind: str) -> None:
    bars = walk("1d", 60)
    seconds = pyarrow.array(bars.time)
    stamps = {
        "int64 ms": pyarrow.array(bars.time * 1000),
        "date32": seconds.cast(pyarrow.timestamp("s")).cast(pyarrow.date32()),
        "text": pyarrow.array([str(np.datetime64(one, "s")) for one in bars.time.tolist()]),
        "naive": seconds.cast(pyarrow.timestamp("s")),
    }[kind]
    path = tmp_path / "bars.parquet"
    columns = {"date": stamps} | {name: getattr(bars, name) for name in COLUMNS[1:]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    import_file(catalog, path, wanted(timeframe="1d"))
    np.testing.assert_array_equal(load_all(catalog, "x_1d").time, bars.time)


BAD = [
    ("2024-01-04 00:00,10,12,9", "too few fields"),
    ("2024-01-04 00:00,10,12,9,11,100,7", "too many fields"),
    ("2024-01-04 00:00,10,12,9,x,100", "close is no number"),
    ("2024-01-04 00:00,10,12,9,,100", "close is no number"),
    ("2024-01-04 00:00,10,nan,9,11,100", "high is no number"),
    ("2024-01-04 00:00,10,1e999,9,11,100", "high is not finite"),
    ("2024-01-04 00:00,0,12,0,11,100", "open is not above zero"),
    ("2024-01-04 00:00,10,12,-9,11,100", "low is not above zero"),
    ("2024-01-04 00:00,10,9,12,11,100", "high is below low"),
    ("2024-01-04 00:00,10,10.5,9,11,100", "high is below open or close"),
    ("2024-01-04 00:00,10,12,10.5,11,100", "low is above open or close"),
    ("2024-01-04 00:00,10,12,9,11,-1", "volume is below zero"),
    ("2024-01-04 00:00,10,12,9,11,many", "volume is no number"),
    ("2024-02-30 00:00,10,12,9,11,100", "a time that can't be read"),
    ("2024-01-04 24:00,10,12,9,11,100", "a time that can't be read"),
    ("yesterday,10,12,9,11,100", "a time that can't be read"),
    ("2024-01-03 03:00,10,12,9,11,100", "a time that is there already"),
    ("2024-01-01 05:00,10,12,9,11,100", "a time out of order"),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=[f"{reason} {at}" for at, (_, reason) in enumerate(BAD)])
def test_a_bad_row_refuses_the_file_or_is_left_out(
    catalog: Catalog, tmp_path: Path, row: str, reason: str
) -> None:
    """Line 7, after an empty one; with the flag the report counts it and the others are there."""
    path = written(tmp_path, f"{GOOD}\n{row}\n2024-01-05 00:00,10,12,9,11,100\n")
    error = refused(catalog, path, wanted())
    assert isinstance(error, ImportRefused)
    assert error.details["rows"] == [{"line": 7, "reason": reason}]
    assert "1 of 6 rows are bad" in error.message
    assert "--drop-bad-rows" in error.message
    report = import_file(catalog, path, wanted(drop_bad_rows=True))
    assert report["dropped"] == {reason: 1}
    assert load_all(catalog, "x_1h").close.tolist() == [11, 10, 11, 10, 11]


def test_fifty_bad_rows_are_shown_and_all_are_counted(catalog: Catalog, tmp_path: Path) -> None:
    """By line, through a file of many megabytes, of which the reader sees one after the other."""
    lines = as_csv(walk("1m", 60_000)).splitlines()
    wrong = list(range(1000, 60_000, 500))
    for line in wrong:
        lines[line - 1] = lines[line - 1].rsplit(",", 2)[0] if line % 1000 else "x" + lines[line - 1]
    error = refused(catalog, written(tmp_path, "\n".join(lines)), wanted(timeframe="1m"))
    rows: Any = error.details["rows"]
    assert error.details["bad_rows"] == len(wrong) == 118
    assert [one["line"] for one in rows] == wrong[:50]
    assert {one["reason"] for one in rows} == {"a time that can't be read", "too few fields"}


def test_one_row_from_the_future_does_not_put_all_others_out_of_order(
    catalog: Catalog, tmp_path: Path
) -> None:
    lines = as_csv(walk("1h", 100)).splitlines()
    lines[40] = lines[40].replace("2024-", "2042-")
    error = refused(catalog, written(tmp_path, "\n".join(lines)), wanted())
    assert error.details["rows"] == [{"line": 41, "reason": "a time out of order"}]


def test_newest_first_is_turned_round(catalog: Catalog, tmp_path: Path) -> None:
    bars = walk("1h", 100)
    head, *rows = as_csv(bars).splitlines()
    report = import_file(catalog, written(tmp_path, "\n".join([head, *rows[::-1]])), wanted())
    assert any("newest row came first" in one for one in report["notes"])
    np.testing.assert_array_equal(load_all(catalog, "x_1h").close, bars.close)


FILES: dict[str, tuple[str, str, list[int]]] = {
    "MetaTrader": (
        "1h",
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.01\t23:00:00\t1\t2\t1\t2\t7\t0\t1\n2024.01.02\t00:00:00\t1\t2\t1\t2\t7\t0\t1\n",
        [23 * 3600, 24 * 3600],
    ),
    "yfinance": (
        "1d",
        "Price,Close,High,Low,Open,Volume\nTicker,A,A,A,A,A\nDate,,,,,\n"
        "2024-01-01,2,2,1,1,7\n2024-01-02,2,2,1,1,7\n",
        [0, 24 * 3600],
    ),
    "yfinance, with adjusted prices": (
        "1d",
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        "2024-01-01 00:00:00-05:00,1,2,1,2,1.5,7\n2024-01-02 00:00:00-05:00,1,2,1,2,1.5,7\n",
        [0, 24 * 3600],
    ),
    "Binance": (
        "1h",
        "open_time,open,high,low,close,volume,close_time,count\n"
        "1704150000000,1,2,1,2,7,1704153599999,3\n1704153600000,1,2,1,2,7,1704157199999,3\n",
        [23 * 3600, 24 * 3600],
    ),
    "Binance since 2025, in microseconds": (
        "1h",
        "open_time,open,high,low,close,volume\n1704150000000000,1,2,1,2,7\n1704153600000000,1,2,1,2,7\n",
        [23 * 3600, 24 * 3600],
    ),
    "seconds since 1970": (
        "1h",
        "timestamp,o,h,l,c,v\n1704150000,1,2,1,2,7\n1704153600,1,2,1,2,7\n",
        [23 * 3600, 24 * 3600],
    ),
    "Stooq": (
        "1d",
        "Date,Open,High,Low,Close,Volume\n20240101,1,2,1,2,7\n20240102,1,2,1,2,7\n",
        [0, 24 * 3600],
    ),
    "a title, and newest first": (
        "1h",
        "https://www.cryptodatadownload.com\nunix,date,symbol,open,high,low,close,Volume BTC\n"
        "1704153600000,2024-01-02 00:00:00,B,1,2,1,2,7\n1704150000000,2024-01-01 23:00:00,B,1,2,1,2,7\n",
        [23 * 3600, 24 * 3600],
    ),
    "semicolons, and commas in numbers": (
        "1d",
        "Datum;Date;Open;High;Low;Close;Volume\nx;13.01.2024;1,5;2,5;1,5;2,0;7\nx;14.01.2024;1,5;2,5;1,5;2;7\n",
        [12 * 86_400, 13 * 86_400],
    ),
    "half days": (
        "1h",
        "Date,Open,High,Low,Close,Volume\n01/13/2024 11:00 AM,1,2,1,2,7\n01/13/2024 12:00 PM,1,2,1,2,7\n"
        "01/14/2024 12:00 AM,1,2,1,2,7\n",
        [12 * 86_400 + 11 * 3600, 12 * 86_400 + 12 * 3600, 13 * 86_400],
    ),
    "compact": (
        "1h",
        "datetime,open,high,low,close,volume\n20240101 230000,1,2,1,2,7\n20240102 000000,1,2,1,2,7\n",
        [23 * 3600, 24 * 3600],
    ),
    "ISO with a zone": (
        "1h",
        "time,open,high,low,close,volume\n2024-01-01T23:00:00Z,1,2,1,2,7\n2024-01-02T01:00:00+01:00,1,2,1,2,7\n",
        [23 * 3600, 24 * 3600],
    ),
    "Dukascopy": (
        "1h",
        "Gmt time,Open,High,Low,Close,Volume\n14.01.2024 23:00:00.000,1,2,1,2,7\n"
        "15.01.2024 00:00:00.000,1,2,1,2,7\n",
        [13 * 86_400 + 23 * 3600, 14 * 86_400],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_people_have(catalog: Catalog, tmp_path: Path, name: str) -> None:
    """Delimiter, columns and time format are found out; times count from 2024-01-01 here."""
    timeframe, text, times = FILES[name]
    import_file(catalog, written(tmp_path, text), wanted(timeframe=timeframe, drop_bad_rows=True))
    found = load_all(catalog, f"x_{timeframe}")
    assert (found.time - midnight(date(2024, 1, 1))).tolist()[: len(times)] == times
    assert set(found.volume.tolist()) == {7.0}
    assert (found.high >= found.close).all()


def test_utf_16_is_read(catalog: Catalog, tmp_path: Path) -> None:
    """As MetaTrader on Windows writes it."""
    import_file(catalog, written(tmp_path, GOOD.encode("utf-16")), wanted())
    assert len(load_all(catalog, "x_1h")) == 4


def test_a_file_without_a_header_is_told_what_is_expected(catalog: Catalog, tmp_path: Path) -> None:
    error = refused(catalog, written(tmp_path, GOOD.partition("\n")[2]), wanted())
    assert "expected a header with time" in error.message
    assert "Found: '2024-01-01 00:00,10" in error.message


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\x00\xff\xfe\x01", b"PAR1", b"time,open,high,low,close\n", b"a,b\n1,2\n"]
)
def test_what_is_no_table_is_refused(catalog: Catalog, tmp_path: Path, content: bytes) -> None:
    assert isinstance(refused(catalog, written(tmp_path, content), wanted()), ImportRefused)


def days(*dates: str) -> str:
    return "Date,Open,High,Low,Close,Volume\n" + "".join(f"{one},1,2,1,2,7\n" for one in dates)


def test_day_and_month_are_not_guessed(catalog: Catalog, tmp_path: Path) -> None:
    """One date above 12 anywhere decides the whole column; without one the person says it."""
    path = written(tmp_path, days("01/02/2024", "02/02/2024", "03/02/2024"))
    assert "--day-first or --month-first" in refused(catalog, path, wanted(timeframe="1d")).message
    import_file(catalog, path, wanted("A", "1d", times=TimeOptions(day_first=True)))
    assert catalog.get("a_1d").start == date(2024, 2, 1)
    path = written(tmp_path, days("11/02/2024", "12/02/2024", "13/02/2024"))
    import_file(catalog, path, wanted("B", "1d"))
    assert catalog.get("b_1d").start == date(2024, 2, 11)


def test_times_of_a_zone_are_told_to_utc(catalog: Catalog, tmp_path: Path) -> None:
    """New York opens at 14:30 UTC in winter, and an hour earlier from the second Sunday of March on."""
    text = "time,open,high,low,close\n" + "".join(
        f"2024-03-{day:02} {hour:02}:30,1,2,1,2\n" for day in (7, 8, 11, 12) for hour in (9, 10, 11)
    )
    import_file(catalog, written(tmp_path, text), wanted(times=TimeOptions("America/New_York")))
    clock = load_all(catalog, "x_1h").time % 86_400 / 3600
    assert clock.tolist() == [14.5, 15.5, 16.5] * 2 + [13.5, 14.5, 15.5] * 2
    with pytest.raises(InvalidInput, match="there is no 'Mars/Olympus'"):
        import_file(catalog, tmp_path / "file", wanted("Y", times=TimeOptions("Mars/Olympus")))


@pytest.mark.parametrize("zone", ["-05:00", "+09:00", "Z", ""])
def test_a_day_is_the_date_that_was_written(catalog: Catalog, tmp_path: Path, zone: str) -> None:
    """Midnight in Tokyo is that day, though in UTC it is three in the afternoon of the day before."""
    text = "time,open,high,low,close\n" + "".join(
        f"2024-01-0{day} 00:00:00{zone},1,2,1,2\n" for day in (1, 2, 3, 4)
    )
    import_file(catalog, written(tmp_path, text), wanted(timeframe="1d"))
    assert load_all(catalog, "x_1d").time[0] == midnight(date(2024, 1, 1))


@pytest.mark.parametrize(
    ("timeframe", "other"), [("1h", "5m"), ("5m", "1h"), ("1h", "1d"), ("1d", "1h"), ("1d", "1w")]
)
def test_another_timeframe_than_was_said_is_noticed(
    catalog: Catalog, tmp_path: Path, timeframe: str, other: str
) -> None:
    path = written(tmp_path, as_csv(walk(other, 60)))
    assert f"they look like {other}" in refused(catalog, path, wanted(timeframe=timeframe)).message


def test_bars_off_the_grid_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    bars = walk("1h", 60)
    bars.time[30] += 1200
    assert (
        "1 of 60 rows are not bars of 1h"
        in refused(catalog, written(tmp_path, as_csv(bars)), wanted()).message
    )
    weeks = walk("1w", 30, first=date(2024, 1, 5))
    error = refused(catalog, written(tmp_path, as_csv(weeks)), wanted(timeframe="1w"))
    assert "dated by their Monday" in error.message


def test_the_last_quarter_is_the_holdout_unless_a_date_is_given(catalog: Catalog, tmp_path: Path) -> None:
    path = written(tmp_path, as_csv(walk("1h", 24 * 40)))
    import_file(catalog, path, wanted("A"))
    assert catalog.get("a_1h").holdout_start == date(2024, 1, 31)
    assert len(load_development(catalog, "a_1h")) == 24 * 30
    import_file(catalog, path, wanted("B", holdout_start=date(2024, 2, 5)))
    assert catalog.get("b_1h").development_end == date(2024, 2, 4)
    for day in (date(2023, 1, 1), date(2024, 1, 1), date(2024, 2, 10)):
        with pytest.raises(ImportRefused, match="bars on both sides"):
            import_file(catalog, path, wanted("C", holdout_start=day))


def test_what_is_there_is_replaced_only_when_it_is_said(catalog: Catalog, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    import_file(catalog, path, wanted())
    before = catalog.sha256("x_1h")
    with pytest.raises(DatasetExists):
        import_file(catalog, path, wanted())
    path = written(tmp_path, GOOD.replace("11,100", "11.5,100"))
    with pytest.raises(ImportRefused):
        import_file(catalog, written(tmp_path, GOOD + "x,1,1,1,1,1\n"), wanted(replace=True))
    assert catalog.sha256("x_1h") == content_sha256(load_all(catalog, "x_1h")) == before
    import_file(catalog, written(tmp_path, GOOD.replace("11,100", "11.5,100")), wanted(replace=True))
    assert catalog.sha256("x_1h") != before


@pytest.mark.parametrize("symbol", ["../x", "", "a\nb", "x" * 81, "a\x00b", ".x", "Ä"])
def test_a_symbol_that_is_none_is_refused_before_the_file_is_opened(catalog: Catalog, symbol: str) -> None:
    with pytest.raises(InvalidInput, match="symbol"):
        import_file(catalog, Path("/nowhere"), wanted(symbol))


def test_the_built_in_series_is_not_imported_over(catalog: Catalog) -> None:
    with pytest.raises(InvalidInput, match="NASDAQ at 1d is built in"):
        import_file(catalog, Path("/nowhere"), wanted("NASDAQ", "1d"))
