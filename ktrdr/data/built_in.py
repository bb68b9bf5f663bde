"""Where a built-in data set lies on disk, without importing anything that computes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ktrdr.domain.errors import DatasetNotFound

FILES: Mapping[str, str] = {"nasdaq": "data/nasdaq/nasdaq.csv.gz"}


def built_in_path(key: str) -> Path:
    """The file of a data set inside the installed `arch` package. Raises DatasetNotFound."""
    spec = find_spec("arch")  # the top level only: importing arch.data would import pandas
    if spec is None or spec.origin is None:
        raise DatasetNotFound(
            "The built-in data comes with the package 'arch'. Install it: pip install arch."
        )
    path = Path(spec.origin).parent / FILES[key]
    if not path.is_file():
        raise DatasetNotFound(
            f"The installed 'arch' has no {FILES[key]}. Install the version in constraints.txt."
        )
    return path


def built_in_sha256(key: str) -> str:
    """The hash of a built-in data set's file."""
    path = built_in_path(key)
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _sha256(path: Path, _: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
