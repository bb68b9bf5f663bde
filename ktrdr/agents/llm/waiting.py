"""How long a provider that is busy is waited for. Time is an argument here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Waits double from `first` to `longest` seconds; no more than `total` seconds in all."""

    first: float = 1.0
    longest: float = 60.0
    total: float = 600.0
    tries: int = 20

    def wait(self, failures: int, waited: float, asked: float | None) -> float | None:
        """Seconds until the next try; None when it is not to be tried again.

        `failures` so far, the last one among them; `waited` seconds so far; `asked` is the provider's own
        retry-after, which is never undercut: where it is beyond what is left, nothing is tried.
        """
        if failures >= self.tries:
            return None
        doubled = min(self.longest, self.first * 2.0 ** (failures - 1))
        seconds = max(doubled, asked or 0.0)
        return None if waited + seconds > self.total else seconds
