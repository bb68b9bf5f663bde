"""When a run's state is worth a write to the disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointPolicy:
    """A checkpoint is due after so many epochs or so many seconds, whichever comes first."""

    every_epochs: int = 1
    every_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.every_epochs < 1:
            raise ValueError(f"every_epochs is at least 1, not {self.every_epochs}")
        if self.every_seconds is not None and not self.every_seconds > 0.0:
            raise ValueError(f"every_seconds is above 0, not {self.every_seconds}")

    def due(self, epochs_since: int, seconds_since: float) -> bool:
        """Whether the time has come, counted from the last one that was due, or from the start."""
        if epochs_since >= self.every_epochs:
            return True
        return self.every_seconds is not None and seconds_since >= self.every_seconds


class Cadence:
    """Counts epochs and seconds for a policy. Times are seconds of one clock that never goes back."""

    def __init__(self, policy: CheckpointPolicy, now: float) -> None:
        self._policy = policy
        self._since = now
        self._epochs = 0

    def epoch(self, now: float) -> bool:
        """Count one more epoch, which ended at `now`; True when a checkpoint is due."""
        self._epochs += 1
        if not self._policy.due(self._epochs, now - self._since):
            return False
        self._since, self._epochs = now, 0
        return True
