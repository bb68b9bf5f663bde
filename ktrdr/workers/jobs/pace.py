"""How long an epoch takes, what is left takes, and how fast bars may go by."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_SECONDS = 0.05  # a slowed simulation moves, and looks whether to stop, as often as this
LEAST_WEIGHT = 0.1  # of the newest epoch: a stall is forgotten within some twenty


class Pace:
    """A mean of the epochs of this attempt in which newer ones count more."""

    def __init__(self, now: float) -> None:
        self._last, self._count = now, 0
        self.seconds: float | None = None

    def epoch(self, now: float) -> None:
        """An epoch has ended, with all that belongs to it."""
        took, self._last = now - self._last, now
        self._count += 1
        weight = max(LEAST_WEIGHT, 1.0 / self._count)
        self.seconds = took if self.seconds is None else self.seconds + weight * (took - self.seconds)

    def left(self, epochs: int) -> float | None:
        """Seconds that so many epochs take; None before the first has ended."""
        return None if self.seconds is None else self.seconds * epochs


class SpeedLimit:
    """At most so many bars a second, counted from its making; None: as fast as it goes."""

    def __init__(self, bars_per_second: float | None, chunk: int) -> None:
        self._limit = bars_per_second
        self._begun, self._done = time.monotonic(), 0
        step = chunk if bars_per_second is None else round(bars_per_second * STEP_SECONDS)
        self.chunk = max(1, min(chunk, step))

    def wait(self, bars: int, should_stop: Callable[[], bool]) -> None:
        """Until `bars` more may have gone by, or it is time to stop."""
        if self._limit is None:
            return
        self._done += bars
        due = self._begun + self._done / self._limit
        while (left := due - time.monotonic()) > 0.0 and not should_stop():
            time.sleep(min(left, STEP_SECONDS))
