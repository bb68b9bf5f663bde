"""What is configured and what is missing, in sentences a person can act on. Never a key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.domain.calls import Budget, Limits
from ktrdr.persistence.unit_of_work import Database


class State(StrEnum):
    OK = "ok"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    message: str


class DoctorService:
    """Looks at what a session would need; asks no provider, since that costs money."""

    def __init__(self, database: Database, llm: LanguageModel | None, limits: Limits) -> None:
        self._database = database
        self._llm = llm
        self._limits = limits

    async def examine(self) -> list[Check]:
        async with self._database.read() as tx:
            day = await tx.budgets.day(self._limits)
        found = [Check("database", State.OK, "it answers")]
        if self._llm is None:
            offline = "none: sessions are designed and assessed offline; KTRDR_LLM=anthropic:MODEL asks one"
            return [*found, Check("language model", State.OK, offline)]
        return [*found, *await asyncio.to_thread(self._of_model, self._llm), _of_budget(day)]

    def _of_model(self, llm: LanguageModel) -> list[Check]:
        settings, missing = llm.settings, llm.missing()
        where = settings.base_url or "its provider's own address"
        found = [Check("language model", State.OK, f"{llm.name} at {where}")]
        found += [Check("language model", State.MISSING, one) for one in missing]
        if llm.key.variable is not None:
            found.append(Check("key", State.OK, f"{llm.key.variable} is set"))
        if not missing:
            found.append(_of_price(llm))
        return found


def _of_price(llm: LanguageModel) -> Check:
    source = llm.prices.source()
    if source is not None:
        return Check("price", State.OK, f"known from {source}")
    if llm.settings.allow_unknown_price:
        return Check("price", State.OK, "not known; KTRDR_ALLOW_UNKNOWN_PRICE counts it as nothing")
    remedy = "give it in the file that KTRDR_LLM_PRICES names, or set KTRDR_ALLOW_UNKNOWN_PRICE=true"
    return Check("price", State.MISSING, f"not known: {remedy}")


def _of_budget(day: Budget) -> Check:
    said = f"${day.spent_usd:.4f} of the day's ${day.limit_usd:.2f} are spent"
    if day.is_spent:
        return Check("budget", State.MISSING, f"{said}; raise it: ktrdr research budget --day USD")
    return Check("budget", State.OK, said)
