"""Bars on disk: Parquet, named and checked by the hash of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path

import numpy as np

from ktrdr.data.bars import COLUMNS, Bars
from ktrdr.data.records import RECORD, DatasetRecord
from ktrdr.domain.errors import DatasetExists


def content_sha256(bars: Bars) -> str:
    """The hash of the bars themselves: equal for equal bars, however a file compresses them."""
    digest = hashlib.sha256(f"bars {len(bars)}".encode())
    for name in COLUMNS:
        values = getattr(bars, name)
        digest.update(np.ascontiguousarray(values, "<i8" if name == "time" else "<f8").tobytes())
    return digest.hexdigest()


def write_bars(path: Path, bars: Bars) -> None:
    """Write a new file, on disk when this returns. Raises FileExistsError when it is there."""
    import pyarrow
    import pyarrow.parquet as parquet

    table = pyarrow.table({name: getattr(bars, name) for name in COLUMNS})
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        parquet.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())


def read_bars(path: Path) -> Bars:
    """The bars of a file that `write_bars` wrote. Raises OSError or ValueError (pyarrow's own included)."""
    import pyarrow.parquet as parquet

    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        table = parquet.read_table(file, columns=list(COLUMNS))
    time, *prices = (np.array(table.column(name).to_numpy()) for name in COLUMNS)
    return Bars(time.astype(np.int64), *(values.astype(np.float64) for values in prices))


def store(root: Path, record: DatasetRecord, bars: Bars, *, replace: bool) -> None:
    """Make a data set be there whole or not at all; its record's rename is the moment it is.

    What it replaces goes after that. Raises DatasetExists when it is there and is not to be replaced.
    """
    folder = root / record.spec.key
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = folder / f"tmp-{uuid.uuid4().hex}"
    try:
        write_bars(temporary, bars)
        os.replace(temporary, folder / record.file)
        _write_text(temporary, json.dumps(record.to_json(), indent=1, allow_nan=False))
        if replace:
            os.replace(temporary, folder / RECORD)
        else:
            os.link(temporary, folder / RECORD)  # of two at once, one finds it taken
    except FileExistsError as taken:
        raise already_there(record.spec.key) from taken
    finally:
        temporary.unlink(missing_ok=True)
    _sync(folder)
    _sync(root)
    for old in folder.iterdir():
        if old.name not in (RECORD, record.file):
            old.unlink(missing_ok=True)


def already_there(key: str) -> DatasetExists:
    return DatasetExists(f"The data set '{key}' is there already. Give --replace to import it anew.")


def _write_text(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
