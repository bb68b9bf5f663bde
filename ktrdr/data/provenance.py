"""What a result was made from, as hashes: a resume under changed inputs is refused by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ktrdr import __version__
from ktrdr.data.catalog import dataset_sha256
from ktrdr.domain.fingerprints import Fingerprint, sha256_of


def fingerprint_of(
    dataset: str, strategy_config: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> Fingerprint:
    """The fingerprint of work on `dataset` with `strategy_config` under `settings`."""
    return Fingerprint(
        strategy=None if strategy_config is None else sha256_of(strategy_config),
        data=dataset_sha256(dataset),
        code=__version__,
        settings=sha256_of(settings),
    )
