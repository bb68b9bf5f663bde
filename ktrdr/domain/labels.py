"""Label sources: how many classes each has."""

from __future__ import annotations

from collections.abc import Mapping

# The first number is the one that is meant when none is written.
CLASSES: Mapping[str, tuple[int, ...]] = {
    "forward_return": (3, 2, 4, 5, 6, 7, 8, 9, 10),
    "zigzag": (3,),
    "triple_barrier": (3,),
    "regime": (4,),
    "context": (3,),
}
