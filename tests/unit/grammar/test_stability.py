"""Strategies that run today keep their bytes: a checkpoint names its strategy by them."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from ktrdr.agents.designers.grammar_space import LAYERS, OSCILLATORS, config_of
from ktrdr.domain.market import NASDAQ
from ktrdr.domain.strategies import parse_strategy, strategy_sha256
from tests.integration.strategies import SMALL

EXAMPLE = Path(__file__).parents[3] / "docs" / "strategies" / "momentum_demo.yaml"


def designed() -> list[dict[str, Any]]:
    """What the offline designer proposes, one for each choice that changes the shape."""
    rest = {"oscillator_period": 9, "band": 25, "fast_roc": 3, "slow_roc": 40, "horizon": 7, "dropout": 0.15}
    rest |= {"learning_rate": 0.00123, "confidence": 0.41}
    names = ("oscillator", "layers", "trend_strength")
    choices = product(sorted(OSCILLATORS), sorted(LAYERS), (False, True))
    return [config_of(NASDAQ, rest | dict(zip(names, one, strict=True))) for one in choices]


def bytes_of(config: Any) -> str:
    """Order counts here: the network's inputs come in the order of the labels."""
    return hashlib.sha256(json.dumps(parse_strategy(config).to_config()).encode()).hexdigest()


@pytest.mark.parametrize(
    ("config", "sha256", "written"),
    [
        (
            SMALL,
            "aaf38efdd3e49fcdcf15f4ad37686bd72373116f350d0bc073a4fdf90710b496",
            "ccfd50c8028ba0c4c7f13693bc336eaff3cf5312d82b9ec64e063c537ca5c7c9",
        ),
        (
            yaml.safe_load(EXAMPLE.read_text()),
            "3f6efe278ffa3c596e255715c761e80fd1e4fce601a84167a128dacdb7dbca30",
            "c7a2727c4be33dcb84fa3559d59a0f3347effcb08b894d1e2c2843bd0da787df",
        ),
    ],
    ids=["small", "example"],
)
def test_a_strategy_keeps_its_hash(config: Any, sha256: str, written: str) -> None:
    assert strategy_sha256(parse_strategy(config)) == sha256
    assert bytes_of(config) == written


def test_what_the_designer_makes_keeps_its_bytes() -> None:
    every = "".join(bytes_of(config) for config in designed())
    assert (
        hashlib.sha256(every.encode()).hexdigest()
        == "ec3889ff30d2a15e5f7b2591f93d3399e08675f4dbcb5c6cb0741017f8bf1264"
    )


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a strategy."""
    listed = part if isinstance(part, list) else []
    items: list[tuple[Any, Any]] = list(part.items() if isinstance(part, dict) else enumerate(listed))
    return [path, *(place for key, one in items for place in places(one, (*path, key)))]
