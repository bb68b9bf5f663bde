"""The backend's language model. The providers' libraries are imported by `load`, and only there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ktrdr.agents.llm.choice import INSTALL, KEYS, Key, LanguageModelSettings, missing_libraries
from ktrdr.agents.llm.pricing import Prices, read_table
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import Operation
from ktrdr.persistence.unit_of_work import Database

if TYPE_CHECKING:
    from pydantic_ai.models import Model

NOT_CONFIGURED = "LLM_NOT_CONFIGURED"


class LanguageModel:
    """One a backend. Every request that its models send is in the journal."""

    def __init__(self, database: Database, settings: LanguageModelSettings, key: Key | None = None) -> None:
        """Raises RefusedToStart for a table of prices that can't be used."""
        self.settings = settings
        self.key = Key.of(settings.choice.provider) if key is None else key
        self._database = database
        table = read_table(settings.prices)
        self.prices = Prices(settings.choice, table, allow_unknown=settings.allow_unknown_price)
        self._stop = asyncio.Event()
        self._model: Model | None = None

    @property
    def name(self) -> str:
        """As the user chose it, `provider:model`."""
        return self.settings.choice.name

    def missing(self) -> list[str]:
        """What has to be done before it can be asked; empty when it is ready."""
        provider = self.settings.choice.provider
        found = []
        libraries = missing_libraries(provider)
        if libraries:
            found.append(f"{', '.join(libraries)} not installed: {INSTALL}")
        if self.key.text is None and self.settings.base_url is None:
            found.append(f"{' or '.join(KEYS[provider])} is not set in the backend's environment")
        return found

    def load(self) -> None:
        """Import what is needed and build the client, once; nothing while something is missing."""
        if self._model is None and not self.missing():
            from ktrdr.agents.llm.providers import model_of

            self._model = model_of(self.settings.choice, self.key.text, self.settings.base_url)
            self.prices.source()

    def stop(self) -> None:
        """The backend is stopping: no conversation goes on."""
        self._stop.set()

    def for_call(self, operation: Operation, purpose: str) -> Model:
        """A model for one conversation of a claimed attempt; `purpose` is `design` or `assess`.

        Each asks from the first request on and gets recorded answers as long as its requests are those of
        an earlier attempt. Raises StepFailed (LLM_NOT_CONFIGURED).
        """
        self.load()
        if self._model is None:
            raise StepFailed(
                NOT_CONFIGURED,
                f"{self.name} can't be asked: {'; '.join(self.missing())}. "
                "Restart the backend with it (ktrdr doctor tells), then resume.",
            )
        from ktrdr.agents.llm.journal import Journal
        from ktrdr.agents.llm.journalled_model import JournalledModel

        one = self.settings
        journal = Journal(
            self._database, operation, purpose, model=self.name, limits=one.limits, stop=self._stop
        )
        return JournalledModel(
            self._model,
            journal,
            name=self.name,
            prices=self.prices,
            patience=one.patience,
            timeout=one.timeout,
            max_output_tokens=one.max_output_tokens,
            redact=self.key.redact,
        )
