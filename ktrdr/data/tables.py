"""Somebody's CSV or Parquet file as columns, each row with the line it stands on."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as arrow
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from ktrdr.data.headers import PRICES, Layout, layout_of, refuse_header
from ktrdr.data.timestamps import READ_AS_UTC, TimeOptions, Times, epoch_seconds, in_zone, read_times, wall_in
from ktrdr.domain.errors import ImportRefused

HEAD_LINES = 12  # a header stands among the first lines, after a title or a provider's name
HEAD_BYTES = 65_536
BLOCK_BYTES = 16 * 2**20
DELIMITERS = (",", ";", "\t")
_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as they stand in the file. `lines` (n,) counts from 1; `prices` and `volume` have NaN where
    there is no number; `refused` are lines that are no rows at all, with the reason."""

    lines: NDArray[np.int64]
    times: Times
    prices: Mapping[str, Floats]
    volume: Floats
    refused: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Head:
    """What the first lines of a CSV file say."""

    delimiter: str
    encoding: str
    names: Sequence[str]
    layout: Layout
    skipped: int  # lines before the first row

    @property
    def columns(self) -> list[str]:
        """Names of our own: those of the file may be there twice."""
        return [f"c{at}" for at in range(len(self.names))]

    @property
    def wanted(self) -> list[str]:
        return [f"c{at}" for at in self.layout.positions]


@dataclass(frozen=True, eq=False)
class _Piece:
    """One block of a CSV file: which of its lines are rows, and of those the times and the numbers."""

    filled: NDArray[np.bool_]
    times: Any
    numbers: dict[str, Floats]


def read_table(path: Path, options: TimeOptions) -> Table:
    """Read a file by what is in it. Raises ImportRefused."""
    with path.open("rb") as file:
        start = file.read(HEAD_BYTES)
    try:
        return _read_parquet(path, options) if start.startswith(b"PAR1") else _read_csv(path, start, options)
    except (pyarrow.ArrowInvalid, UnicodeError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ImportRefused(f"The file is no CSV or Parquet file that can be read: {said}.") from error


def _read_csv(path: Path, start: bytes, options: TimeOptions) -> Table:
    """Piece by piece: only numbers and the text of the times are kept."""
    head = _head_of(start)
    refused: list[tuple[int, str]] = []

    def refuse(row: Any) -> str:
        few = "too few" if row.actual_columns < row.expected_columns else "too many"
        refused.append((row.number, f"{few} fields"))
        return "skip"

    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK_BYTES,
            skip_rows=head.skipped,
            column_names=head.columns,
            encoding=head.encoding,
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=head.delimiter, invalid_row_handler=refuse, ignore_empty_lines=False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(head.columns, pyarrow.string()),
            include_columns=head.wanted,
            strings_can_be_null=False,
        ),
    )
    pieces = [_piece(batch, head) for batch in reader]
    if not pieces:
        raise ImportRefused("The file has a header, and no rows.")
    filled = np.concatenate([one.filled for one in pieces])
    read = np.ones(len(filled) + len(refused), dtype=np.bool_)
    read[[line - head.skipped - 1 for line, _ in refused]] = False
    lines = np.flatnonzero(read)[filled] + head.skipped + 1
    times = read_times(pyarrow.chunked_array([one.times for one in pieces], pyarrow.string()), options)
    names = (*PRICES, *(("volume",) if head.layout.volume is not None else ()))
    numbers = {name: np.concatenate([one.numbers.pop(name) for one in pieces]) for name in names}
    volume = numbers.pop("volume", None)
    return _table(lines, times, numbers, volume, tuple(refused))


def _piece(batch: Any, head: _Head) -> _Piece:
    """The rows of one block that are not an empty line."""
    filled = _has_something(batch)
    rows = batch.filter(pyarrow.array(filled))
    layout = head.layout
    texts = {at: arrow.utf8_trim_whitespace(rows.column(f"c{at}")) for at in layout.positions}
    times = texts[layout.time]
    if layout.clock is not None:
        times = arrow.binary_join_element_wise(times, texts[layout.clock], " ")
    comma = head.delimiter != "," and _has_decimal_comma(texts[layout.prices[0]])
    places = dict(zip(PRICES, layout.prices, strict=True))
    places |= {} if layout.volume is None else {"volume": layout.volume}
    return _Piece(filled, times, {name: _numbers(texts[at], comma) for name, at in places.items()})


def _head_of(start: bytes) -> _Head:
    """Encoding, delimiter and header. Raises ImportRefused for a file without a header."""
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if utf16 else "utf-8"
    text = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")("replace").decode(start)
    lines = text.splitlines()[:HEAD_LINES]
    for at, line in enumerate(lines):
        for delimiter in DELIMITERS:
            names = next(csv.reader([line], delimiter=delimiter), [])
            layout = layout_of(names)
            skipped = at + 1
            if layout is None and (below := _time_below(names, lines[at + 1 : at + 3], delimiter)):
                names = ["time", *names[1:]]
                layout, skipped = layout_of(names), skipped + below
            if layout is not None:
                return _Head(delimiter, encoding, names, layout, skipped)
    raise refuse_header(lines[0] if lines else "")


def _time_below(names: Sequence[str], following: Sequence[str], delimiter: str) -> int:
    """How many more lines a header of pandas has (`Price,Close,…` then `Ticker,…` then `Date,,,`)."""
    for number, line in enumerate(following, start=1):
        first, *rest = line.split(delimiter)
        if len(names) == 1 + len(rest) and first.strip().lower() in ("date", "datetime") and not any(rest):
            return number
    return 0


def _read_parquet(path: Path, options: TimeOptions) -> Table:
    file = pyarrow.parquet.ParquetFile(path)
    names = file.schema_arrow.names
    layout = layout_of(names)
    if layout is None:
        raise refuse_header(", ".join(names))
    table = file.read(columns=[names[at] for at in layout.positions])
    columns = {at: table.column(names[at]) for at in layout.positions}
    prices = {name: _numbers(columns[at]) for name, at in zip(PRICES, layout.prices, strict=True)}
    volume = None if layout.volume is None else _numbers(columns[layout.volume])
    clock = None if layout.clock is None else columns[layout.clock]
    lines = np.arange(1, table.num_rows + 1)
    return _table(lines, _stamps(columns[layout.time], clock, options), prices, volume, ())


def _stamps(column: Any, clock: Any, options: TimeOptions) -> Times:
    """The time column of a Parquet file: a timestamp, a date, a number since 1970, or text."""
    kind = column.type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        texts = column.cast(pyarrow.string())
        if clock is not None and pyarrow.types.is_string(clock.type):
            texts = arrow.binary_join_element_wise(texts, clock, " ")
        return read_times(arrow.fill_null(texts, ""), options)
    readable = ~np.array(column.is_null().to_numpy())
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind):
        zone = kind.tz if pyarrow.types.is_timestamp(kind) else None
        whole = column.cast(pyarrow.timestamp("s", zone), safe=False).cast(pyarrow.int64())
        utc = np.array(whole.fill_null(0).to_numpy())
        if zone is None and options.timezone is not None:
            return Times(in_zone(utc, options.timezone), utc, readable)
        clock_zone = options.timezone or zone
        wall = utc if clock_zone is None else wall_in(utc, clock_zone)
        return Times(utc, wall, readable, (READ_AS_UTC,) if zone is None else ())
    numbers = np.nan_to_num(_numbers(column), nan=0.0, posinf=0.0, neginf=0.0)
    seconds = epoch_seconds(numbers)
    zone = options.timezone
    return Times(seconds, seconds if zone is None else wall_in(seconds, zone), readable & (numbers > 0))


def _table(
    lines: NDArray[np.int64],
    times: Times,
    prices: Mapping[str, Floats],
    volume: Floats | None,
    refused: tuple[tuple[int, str], ...],
) -> Table:
    if volume is None:
        none = ("there is no volume: it is zero, and indicators of volume say nothing",)
        return Table(lines, times, prices, np.zeros(len(lines)), refused, (*times.notes, *none))
    return Table(lines, times, prices, volume, refused, times.notes)


def _has_something(table: Any) -> NDArray[np.bool_]:
    """Rows (n,) that are not an empty line."""
    found = np.zeros(table.num_rows, dtype=np.bool_)
    for column in table.columns:
        found |= np.array(arrow.not_equal(column, "").to_numpy(zero_copy_only=False), dtype=np.bool_)
    return found


def _has_decimal_comma(texts: Any) -> bool:
    return bool(len(texts)) and bool(arrow.all(arrow.match_substring_regex(texts, r"^\d+(?:,\d+)?$")).as_py())


def _numbers(column: Any, comma: bool = False) -> Floats:
    """Numbers of a column (n,), float64; NaN where there is none."""
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        texts = arrow.replace_substring(column, ",", ".") if comma else column
        right = arrow.fill_null(arrow.match_substring_regex(texts, _NUMBER), False)
        column = arrow.if_else(right, arrow.utf8_trim_whitespace(texts), "nan")
    return np.array(column.cast(pyarrow.float64()).fill_null(float("nan")).to_numpy())
