"""The prices a simulation reads, as any object that has them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Targets = NDArray[np.signedinteger[Any]]


class Prices(Protocol):
    """Opens and closes of the same bars, oldest first, and how many of them a year has.

    `ktrdr.data.bars.Bars` is one.
    """

    @property
    def open(self) -> Floats: ...

    @property
    def close(self) -> Floats: ...
    @property
    def per_year(self) -> float: ...
