"""What the sessions of a backend are made and resumed under: one answer for every service that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ktrdr.agents.language_models import session_settings
from ktrdr.data.catalog import Catalog
from ktrdr.domain.calls import Limits
from ktrdr.domain.sessions import GateThresholds


@dataclass(frozen=True)
class SessionSetup:
    """Whose they are, how many at once, by which gates, on what data; `wake` says that there is one to run.

    `model` is the name of the language model that thinks for them, and `limits` what it may cost; None:
    they think offline.
    """

    instance: str
    max_active: int
    thresholds: GateThresholds
    catalog: Catalog
    wake: Callable[[], None]
    model: str | None = None
    limits: Limits | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """For their fingerprints."""
        return session_settings(self.thresholds, self.model)
