"""How long an epoch takes, and what is left takes."""

from __future__ import annotations

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
