"""One file into the catalogue: read, judged row by row, checked, stored whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ktrdr.data.bars import Bars, development_bars
from ktrdr.data.catalog import Catalog
from ktrdr.data.checks import check
from ktrdr.data.records import DatasetRecord, file_name, key_of
from ktrdr.data.rows import SortedRows, sort_rows
from ktrdr.data.storage import already_there, content_sha256, store
from ktrdr.data.tables import read_table
from ktrdr.data.timestamps import TimeOptions
from ktrdr.domain.errors import DatasetCorrupted, ImportRefused, InvalidInput
from ktrdr.domain.market import DATASETS, TIMEFRAME_SECONDS, DatasetSpec

SYMBOL = r"[A-Za-z0-9^][A-Za-z0-9_.^/= -]{0,79}"  # as the grammar writes it
DEVELOPMENT_SHARE = 0.75


@dataclass(frozen=True)
class Import:
    """What a person asks for. `source` names where the file is from; `now` is when, in ISO 8601."""

    symbol: str
    timeframe: str
    source: str
    now: str
    drop_bad_rows: bool = False
    replace: bool = False
    holdout_start: date | None = None
    times: TimeOptions = field(default_factory=TimeOptions)


def check_request(catalog: Catalog, wanted: Import) -> str:
    """The key the data set will have. Raises InvalidInput or DatasetExists, before anything is read."""
    if re.fullmatch(SYMBOL, wanted.symbol) is None:
        raise InvalidInput("symbol: letters and digits, then also _ . ^ / = - and spaces; at most 80.")
    if wanted.timeframe not in TIMEFRAME_SECONDS:
        raise InvalidInput(f"timeframe: one of {', '.join(TIMEFRAME_SECONDS)}.")
    if any((one.symbol, one.timeframe) == (wanted.symbol, wanted.timeframe) for one in DATASETS.values()):
        raise InvalidInput(
            f"symbol: {wanted.symbol} at {wanted.timeframe} is built in. Give the imported one another name."
        )
    _check_zone(wanted.times.timezone)
    key = key_of(wanted.symbol, wanted.timeframe)
    if not wanted.replace:
        try:
            there = catalog.find(wanted.symbol, wanted.timeframe)
        except DatasetCorrupted as damaged:
            raise already_there(key) from damaged
        if there is not None:
            raise already_there(key)
    return key


def import_file(catalog: Catalog, path: Path, wanted: Import) -> dict[str, Any]:
    """Import a file; the report as plain JSON. Raises ImportRefused, and then nothing is stored."""
    key = check_request(catalog, wanted)
    rows = sort_rows(read_table(path, wanted.times), wanted.timeframe)
    if rows.bad and not wanted.drop_bad_rows:
        raise _refused(rows)
    spec = _spec(key, wanted, rows.bars, rows.bad)
    digest = content_sha256(rows.bars)
    checks = check(rows.bars, wanted.timeframe)
    record = DatasetRecord(spec, digest, file_name(digest), wanted.source, wanted.now, checks)
    assert catalog.root is not None
    store(catalog.root, record, rows.bars, replace=wanted.replace)
    return {
        "key": key,
        "dropped_rows": rows.bad,
        "dropped": dict(rows.counts),
        "notes": list(rows.notes),
    }


def _spec(key: str, wanted: Import, bars: Bars, dropped: int) -> DatasetSpec:
    """The segments in time. The last quarter is the holdout when no date is given."""
    if len(bars) < 2:
        raise ImportRefused(f"The file has {len(bars)} good rows and {dropped} bad ones: nothing to import.")
    first, last = _day(int(bars.time[0])), _day(int(bars.time[-1]))
    begins = wanted.holdout_start or _day(int(bars.time[int(len(bars) * DEVELOPMENT_SHARE)]))
    spec = DatasetSpec(
        key=key,
        title=f"{wanted.symbol}, {wanted.timeframe}, {first} to {last} (imported from {wanted.source})",
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        start=first,
        development_end=begins - timedelta(days=1),
        holdout_start=begins,
        end=last,
    )
    if not 0 < development_bars(bars, spec) < len(bars):
        said = "--holdout-start" if wanted.holdout_start else "the date at three quarters of the bars"
        raise ImportRefused(
            f"{said} is {begins}, and the bars go from {first} to {last}: there must be bars on both sides. "
            "Give another --holdout-start, or more days of bars."
        )
    return spec


def _refused(rows: SortedRows) -> ImportRefused:
    counts = ", ".join(f"{count} × {reason}" for reason, count in rows.counts.items())
    shown = [{"line": one.line, "reason": one.reason} for one in rows.first_bad]
    return ImportRefused(
        f"{rows.bad} of {rows.bad + len(rows.bars)} rows are bad ({counts}); nothing was imported. "
        "Correct them, or leave them out with --drop-bad-rows.",
        {
            "bad_rows": rows.bad,
            "counts": dict(rows.counts),
            "rows": shown,
            "errors": [{"path": f"line {one['line']}", "message": one["reason"]} for one in shown],
        },
    )


def _check_zone(name: str | None) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise InvalidInput(f"timezone: there is no '{name}'. Give one such as America/New_York.") from unknown


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def wanted_of(value: Mapping[str, Any]) -> Import:
    """An import as it came through JSON. Raises InvalidInput."""
    holdout = value.get("holdout_start")
    return Import(
        symbol=str(value["symbol"]),
        timeframe=str(value["timeframe"]),
        source=str(value["source"]),
        now=str(value["now"]),
        drop_bad_rows=bool(value.get("drop_bad_rows")),
        replace=bool(value.get("replace")),
        holdout_start=None if holdout is None else date.fromisoformat(str(holdout)),
        times=TimeOptions(value.get("timezone"), value.get("day_first")),
    )
