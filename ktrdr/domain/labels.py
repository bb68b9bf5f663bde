"""What a strategy may ask its network to predict: the label sources, their settings, their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

# How many classes a source can have, and how many it has when the strategy does not say.
CLASSES: Mapping[str, tuple[int, ...]] = {
    "forward_return": tuple(range(2, 11)),
    "zigzag": (3,),
    "triple_barrier": (3,),
    "regime": (4,),
    "context": (3,),
}
DEFAULT_CLASSES: Mapping[str, int] = {
    "forward_return": 3,
    "zigzag": 3,
    "triple_barrier": 3,
    "regime": 4,
    "context": 3,
}
# The fewest bars that each volatility of a triple barrier is estimated from.
SHORTEST_VOL_SPAN: Mapping[str, int] = {"ewm": 2, "rolling": 2, "atr": 1}


class LabelSettings(Protocol):
    """`training.labels` of a strategy. What its source does not use is None."""

    @property
    def source(self) -> str: ...
    @property
    def horizon(self) -> int | None: ...
    @property
    def zigzag_threshold(self) -> float | None: ...
    @property
    def label_lookahead(self) -> int | None: ...
    @property
    def pt_multiplier(self) -> float | None: ...
    @property
    def sl_multiplier(self) -> float | None: ...
    @property
    def max_holding_period(self) -> int | None: ...
    @property
    def vol_span(self) -> int | None: ...
    @property
    def vol_method(self) -> str | None: ...
