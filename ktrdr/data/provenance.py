"""What a result was made from, as hashes: a resume under changed inputs is refused by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ktrdr import __version__
from ktrdr.data.catalog import Catalog, series_of
from ktrdr.domain.fingerprints import Fingerprint, canonical_json, sha256_of
from ktrdr.domain.strategies import parse_strategy


def fingerprint_of(
    catalog: Catalog,
    dataset: str,
    strategy_config: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
) -> Fingerprint:
    """The fingerprint of work on `dataset` with `strategy_config` under `settings`."""
    return Fingerprint(
        strategy=None if strategy_config is None else sha256_of(strategy_config),
        data=_data_sha256(catalog, dataset, strategy_config),
        code=__version__,
        settings=sha256_of(settings),
    )


def settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker operation's request says beyond data and strategy: a backtest's rules and its days."""
    return {name: request[name] for name in ("rules", "timerange") if name in request}


def _data_sha256(catalog: Catalog, dataset: str, strategy_config: Mapping[str, Any] | None) -> str:
    """The hash of the one series that is read, or of all of them by key."""
    keys = {dataset}
    if strategy_config is not None:
        wanted = _series(canonical_json(strategy_config))
        sources = (catalog.source_of(symbol, timeframe) for symbol, timeframe in wanted)
        keys |= {source.key for source in sources if source is not None}
    if keys == {dataset}:
        return catalog.sha256(dataset)
    return sha256_of([[key, catalog.sha256(key)] for key in sorted(keys)])


@lru_cache(maxsize=64)
def _series(strategy_config: str) -> tuple[tuple[str, str], ...]:
    """What a strategy reads. A session asks at each of its checkpoints, while others wait to write."""
    return tuple(series_of(parse_strategy(json.loads(strategy_config))))
