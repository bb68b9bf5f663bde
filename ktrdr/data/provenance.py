"""What a result was made from: a resume under changed inputs is refused, and told what changed."""

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
    series = _series(catalog, dataset, strategy_config)
    values = {
        "strategy": strategy_config,
        "data": {key: _described(catalog, key, digest) for key, digest in series},
        "settings": settings,
    }
    return Fingerprint(
        strategy=None if strategy_config is None else sha256_of(strategy_config),
        data=series[0][1] if len(series) == 1 else sha256_of(series),
        code=__version__,
        settings=sha256_of(settings),
        values=values,
    )


def settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker operation's request says beyond data and strategy: a backtest's rules and its days."""
    return {name: request[name] for name in ("rules", "timerange") if name in request}


def _series(
    catalog: Catalog, dataset: str, strategy_config: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Key and content hash of every series that is read, in the order of their keys."""
    keys = {dataset}
    if strategy_config is not None:
        wanted = _wanted(canonical_json(strategy_config))
        sources = (catalog.source_of(symbol, timeframe) for symbol, timeframe in wanted)
        keys |= {source.key for source in sources if source is not None}
    return [(key, catalog.sha256(key)) for key in sorted(keys)]


def _described(catalog: Catalog, key: str, digest: str) -> str:
    """A series as a person knows it: two imports of one name differ in their days or in their hash."""
    spec = catalog.get(key)
    return f"{spec.start} to {spec.end}, sha256 {digest[:12]}"


@lru_cache(maxsize=64)
def _wanted(strategy_config: str) -> tuple[tuple[str, str], ...]:
    """What a strategy reads. A session asks at each of its checkpoints, while others wait to write."""
    return tuple(series_of(parse_strategy(json.loads(strategy_config))))
