"""How long things have been as they are, by a clock that nobody sets.

The database's clock is that of its machine, which is set now and then, by a second or by an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Ages(Generic[K]):
    """Remembers what was seen at the last look, and since when. A key holds all that must not change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[K, float] = {}

    def of(self, seen: Iterable[K]) -> dict[K, float]:
        """The seconds since each was first seen; what is not seen any more is forgotten."""
        now = self._clock()
        self._since = {key: self._since.get(key, now) for key in seen}
        return {key: now - since for key, since in self._since.items()}

    def forget(self) -> None:
        """Whatever is seen next is new."""
        self._since = {}
