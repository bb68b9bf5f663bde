"""What is written down of an imported data set, as JSON beside its bars: read without what computes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ktrdr.domain.errors import DatasetCorrupted
from ktrdr.domain.market import DatasetSpec

RECORD = "dataset.json"
SCHEMA_VERSION = 1
_DATES = ("start", "development_end", "holdout_start", "end")


@dataclass(frozen=True)
class DatasetRecord:
    """One imported series. `sha256` is the hash of its bars; `file` holds them, in the record's folder."""

    spec: DatasetSpec
    sha256: str
    file: str
    source: str
    imported_at: str
    checks: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        spec = self.spec
        words = {"key": spec.key, "title": spec.title, "symbol": spec.symbol, "timeframe": spec.timeframe}
        return {
            "schema_version": SCHEMA_VERSION,
            **words,
            **{name: getattr(spec, name).isoformat() for name in _DATES},
            "sha256": self.sha256,
            "file": self.file,
            "source": self.source,
            "imported_at": self.imported_at,
            "checks": dict(self.checks),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DatasetRecord:
        """Raises KeyError, TypeError or ValueError for what is no record of this version."""
        if value["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is {value['schema_version']}, not {SCHEMA_VERSION}")
        days = {name: date.fromisoformat(value[name]) for name in _DATES}
        spec = DatasetSpec(
            key=str(value["key"]),
            title=str(value["title"]),
            symbol=str(value["symbol"]),
            timeframe=str(value["timeframe"]),
            **days,
        )
        sha256, file = str(value["sha256"]), str(value["file"])
        if re.fullmatch(r"[0-9a-f]{64}", sha256) is None or file != file_name(sha256):
            raise ValueError("its hash or its file's name is not one that ktrdr writes")
        return cls(spec, sha256, file, str(value["source"]), str(value["imported_at"]), dict(value["checks"]))


def key_of(symbol: str, timeframe: str) -> str:
    """The key of a series, and its folder's name: `EURUSD` at 1h is `eurusd_1h`.

    No two symbols share a key. A symbol that is not its key in capitals (`EUR/USD`, `^GSPC`, `eurusd`)
    has eight digits of its hash in it, after a dot that no other key has.
    """
    if re.fullmatch(r"[A-Z0-9][A-Z0-9_-]*", symbol):
        return f"{symbol.lower()}_{timeframe}"
    words = re.sub(r"[^a-z0-9]+", "-", symbol.lower()).strip("-") or "x"
    return f"{words}.{hashlib.sha256(symbol.encode()).hexdigest()[:8]}_{timeframe}"


def file_name(sha256: str) -> str:
    """Bars are named by their hash: a new import never writes over what somebody is reading."""
    return f"{sha256[:16]}.parquet"


def read_record(folder: Path) -> DatasetRecord | None:
    """The record in a data set's folder; None when there is none. Raises DatasetCorrupted."""
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _corrupted(folder, str(error)) from error
    try:
        record = DatasetRecord.from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _corrupted(folder, str(error)) from error
    if record.spec.key != folder.name:
        raise _corrupted(folder, f"it is the record of '{record.spec.key}'")
    return record


def _corrupted(folder: Path, why: str) -> DatasetCorrupted:
    return DatasetCorrupted(folder.name, f"{folder / RECORD} can't be read ({why})")
